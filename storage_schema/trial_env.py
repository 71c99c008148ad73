"""The trial's contract: a file that says what to do, and files that say what was done (PROTOCOL.md, section 8).

A worker starts the trial with one variable, ``HPO_PIPE_TRIAL``, the path of a JSON file with the fields of
:class:`TrialFile`. The trial

* appends one JSON object per line to `metrics_file`: ``{"resource": 3, "val_loss": 0.41}``; every other name is
  a metric; ``resource`` counts completed units and may be left out (then it is one more than the last);
* saves a checkpoint by renaming a finished folder to ``<checkpoint_dir>/<resource>`` (names with a leading dot
  are not looked at);
* ends early when `stop_file` exists; its one line is ``stop`` (nothing more is wanted) or ``interrupt``
  (leave a checkpoint, then exit: the spec goes on elsewhere);
* saves a checkpoint soon when `save_file` exists, removes that file, and goes on.

Exit status 0 is success; 75 after an interrupt is an interruption; anything else is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from storage_schema.codec import Json, encode

VARIABLE = "HPO_PIPE_TRIAL"
RESOURCE_FIELD = "resource"
STOP = "stop"
INTERRUPT = "interrupt"
EXIT_INTERRUPTED = 75
MAX_LINE_BYTES = 64 * 1024
MAX_METRICS_PER_LINE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFile:
    """What the file at ``HPO_PIPE_TRIAL`` holds. Paths are absolute."""

    format: int = 1
    study: str
    trial: int
    spec: str
    attempt: int
    parameters: dict[str, Json]
    resource_name: str | None
    """None: the study has no resource; the last report counts, whatever its number."""
    start: int
    """Units done by the restored checkpoint; 0 without one."""
    to: int | None
    """Stop after this many units; None without a resource."""
    objective: str
    goal: str
    seed: int
    """The same for every attempt of a trial; a training seeded with it can be repeated."""
    metrics_file: str
    checkpoint_dir: str
    restored: str | None
    """Folder of the restored checkpoint's files."""
    stop_file: str
    save_file: str = ""

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        return encode(asdict(self))


def trial_path(
    path: str, environment: Mapping[str, str], *, prefix: str, base_prefix: str, scripts: str
) -> str:
    """Return the PATH that commands of trials are looked up on.

    It is the user's own. Only where no environment is activated, and hpo-pipe itself was started out of one
    (``.venv/bin/hpo-pipe``), does that one come first, as if it were activated: `python` is then the Python whose
    packages the training script most likely needs.

    Args:
        path: the user's PATH.
        environment: the user's variables.
        prefix, base_prefix: ``sys.prefix`` and ``sys.base_prefix``.
        scripts: the folder of hpo-pipe's own Python.
    """
    activated = any(environment.get(name) for name in ("VIRTUAL_ENV", "CONDA_PREFIX"))
    if activated or prefix == base_prefix or scripts in path.split(os.pathsep):
        return path
    return f"{scripts}{os.pathsep}{path}" if path else scripts
