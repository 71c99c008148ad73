"""What a trial is told: the file at ``HPO_PIPE_TRIAL`` (PROTOCOL.md, 8.1)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from storage_schema.records import Study
from storage_schema.trial_env import TrialFile
from workers.claim import Claimed
from workers.start import Start


def trial_file(study: Study, claimed: Claimed, start: Start, folder: Path) -> TrialFile:
    """Return the file of an attempt that starts at `start`, with all its paths inside `folder`."""
    issue, resource = claimed.issue, study.resource
    return TrialFile(
        study=study.name,
        trial=issue.trial,
        spec=str(claimed.spec),
        attempt=claimed.holding.claim.id.link,
        parameters=dict(issue.parameters),
        resource_name=resource.name if resource else None,
        start=start.resource,
        to=issue.to if resource else None,
        objective=study.objective.name,
        goal=study.objective.goal,
        seed=trial_seed(study.seed, issue.trial),
        metrics_file=str(folder / "metrics.jsonl"),
        checkpoint_dir=str(folder / "checkpoints"),
        restored=str(folder / "restored") if start.checkpoint else None,
        stop_file=str(folder / "stop"),
        save_file=str(folder / "save"),
    )


def trial_seed(study_seed: int, trial: int) -> int:
    """Return the seed of a trial's training: 31 bits, the same in every attempt and at every rung."""
    digest = hashlib.sha256(f"{study_seed}/training/{trial}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
