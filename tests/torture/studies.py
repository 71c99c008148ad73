"""The studies that are tortured, and what they give when nothing happens to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo_pipe.study import open_study
from tests.torture.training import EPOCH_S, TRAINED

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("training.py")
FLUSH_S, LEASE_S, GRACE_S = 2.0, 10.0, 4.0

TEXT = """
name = "torture"
{program}
seed = {seed}

[metric]
name = "loss"
goal = "minimize"

[parameters]
lr = {{ type = "float", min = 1e-3, max = 0.1, log = true }}
momentum = {{ type = "float", min = 0.0, max = 0.95 }}

[resource]
name = "epoch"
min = 1
max = {epochs}
eta = 3

[algorithm]
scheduler = "{scheduler}"
searcher = "sobol"

[limits]
trials = {trials}

[worker]
flush = {flush_s}
lease = {lease_s}
grace = {grace_s}
tick = 1
max_attempts = 4000
"""

COMMAND = f"command = {[sys.executable, str(SCRIPT)]}"
FUNCTION = 'function = "tests.torture.training:main"'

Leaderboard = list[tuple[int, str, int, float | None, tuple[tuple[str, object], ...], object]]


@dataclass(frozen=True)
class Kind:
    """One sort of study."""

    name: str
    scheduler: str
    epochs: int
    program: str
    synchronous: bool
    """The result does not depend on the order in which trials end."""

    def text(self, trials: int, seed: int) -> str:
        """Return the study file."""
        return TEXT.format(
            program=self.program,
            seed=seed,
            epochs=self.epochs,
            scheduler=self.scheduler,
            trials=trials,
            flush_s=FLUSH_S,
            lease_s=LEASE_S,
            grace_s=GRACE_S,
        )


KINDS = (
    Kind("synchronous", "none", 9, COMMAND, synchronous=True),
    Kind("asha", "asha", 27, FUNCTION, synchronous=False),
)
"""Each attempt of the first is a new process; the second keeps one warm process per slot."""


def create(text: str, folder: Path, url: str, env: Mapping[str, str]) -> None:
    """Create a study, again where the store was not to be had."""
    path = folder / "study.toml"
    path.write_text(text)
    command = [sys.executable, "-m", "hpo_pipe", "create", str(path), url]
    for _ in range(10):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 69:
            break
    if done.returncode:
        raise RuntimeError(f"create: exit {done.returncode}\n{done.stderr}")


def leaderboard(url: str) -> Leaderboard:
    """Return number, state, epochs, value, parameters and curve of every trial, best first."""
    trials = [
        (trial.number, trial.state, trial.resource, trial.value, tuple(trial.params.items()), trial.curve)
        for trial in open_study(url).trials
    ]
    return sorted(trials, key=lambda trial: (trial[3] is None, trial[3] or 0.0, trial[0]))


def undisturbed_leaderboard(kind: Kind, trials: int, seed: int, folder: Path) -> Leaderboard:
    """Run the same study in a folder where nothing happens, at full speed, and return its leaderboard."""
    folder.mkdir()
    (folder / "study.toml").write_text(kind.text(trials, seed))
    env = {name: value for name, value in os.environ.items() if name not in (EPOCH_S, TRAINED)}
    subprocess.run(
        [sys.executable, "-m", "hpo_pipe", "run", str(folder / "study.toml"), str(folder / "study")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        timeout=300,
        check=True,
    )
    return leaderboard((folder / "study").as_uri())
