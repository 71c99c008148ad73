"""The systems under the kill test: what each one's workers are started with, and what its record says afterwards."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage_schema.chain import read_chain
from storage_schema.history import History
from storage_schema.store import open_store
from tests.e2e.accounting import read_log
from tests.torture.training import undisturbed

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every system is to do."""

    trials: int
    epochs: int
    workers: int
    lease_s: int


class System(Protocol):
    """One system."""

    name: str

    def prepare(self, task: Task, folder: Path, env: Mapping[str, str]) -> None:
        """Make the study, where that is a step of its own."""
        ...

    def commands(self, task: Task, folder: Path) -> list[list[str]]:
        """Return the processes to keep running; the first ones are the workers."""
        ...

    def books(self, task: Task, folder: Path, env: Mapping[str, str]) -> dict[str, object]:
        """Return the version, and what the record says."""
        ...


class Peer:
    """A system whose worker is a script beside this file; with ``books`` behind its arguments it counts.

    With `first` arguments it has a step of its own that makes the study (``create``), and a lease.
    """

    def __init__(self, name: str, script: str, python: str, *first: str) -> None:
        self.name = name
        self._command = [python, str(HERE / script), *first]
        self._creates = bool(first)

    def prepare(self, task: Task, folder: Path, env: Mapping[str, str]) -> None:
        if self._creates:
            command = [*self._arguments(task, folder), "create"]
            subprocess.run(command, env=env, capture_output=True, timeout=60, check=True)

    def commands(self, task: Task, folder: Path) -> list[list[str]]:
        return [self._arguments(task, folder)] * task.workers

    def books(self, task: Task, folder: Path, env: Mapping[str, str]) -> dict[str, object]:
        command = [*self._arguments(task, folder), "books"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return {"version": "?", "books": done.stderr[-500:]}
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _arguments(self, task: Task, folder: Path) -> list[str]:
        lease = [str(task.lease_s)] if self._creates else []
        return [*self._command, str(folder), str(task.trials), str(task.epochs), *lease]


STUDY = """
name = "kill"
command = {command}
[metric]
name = "loss"
[parameters]
lr = {{ type = "float", min = 1e-3, max = 0.1, log = true }}
momentum = {{ type = "float", min = 0.0, max = 0.95 }}
[resource]
name = "epoch"
max = {epochs}
[algorithm]
scheduler = "none"
searcher = "random"
[limits]
trials = {trials}
[worker]
lease = {lease_s}
"""


class HpoPipe:
    """hpo-pipe in a folder, with one coordinator, which is killed too."""

    name = "hpo-pipe, folder"

    def prepare(self, task: Task, folder: Path, env: Mapping[str, str]) -> None:
        training = ROOT / "tests/torture/training.py"
        text = STUDY.format(
            command=json.dumps([sys.executable, str(training)]),
            epochs=task.epochs,
            trials=task.trials,
            lease_s=task.lease_s,
        )
        (folder / "study.toml").write_text(text)
        command = [sys.executable, "-m", "hpo_pipe", "create", str(folder / "study.toml"), self._url(folder)]
        subprocess.run(command, env=env, capture_output=True, timeout=60, check=True)

    def commands(self, task: Task, folder: Path) -> list[list[str]]:
        run = [sys.executable, "-m", "hpo_pipe"]
        workers = [[*run, "worker", self._url(folder)]] * task.workers
        return [*workers, [*run, "coordinator", self._url(folder), "--until-done"]]

    def books(self, task: Task, folder: Path, env: Mapping[str, str]) -> dict[str, object]:
        from hpo_pipe.coordinator.log import read_study

        store = open_store(self._url(folder))
        history = History(read_study(store))
        for entry in read_log(store):
            history.fold(entry)
        curves = [(dict(trial.parameters), dict(trial.curve("loss"))) for trial in history.trials]
        whole = [curve for _, curve in curves if len(curve) == task.epochs]
        settled = [sum(link.settles for link in read_chain(store, spec)) for spec in history.specs]
        return {
            "version": importlib.metadata.version("hpo-pipe"),
            "begun": len(history.trials),
            "finished": len(whole),
            "lost": len(history.trials) - len(whole),
            "left running": len(history.open),
            "recorded twice": sum(count > 1 for count in settled),
            "wrong values": sum(
                any(value != undisturbed(parameters, epoch) for epoch, value in curve.items())
                for parameters, curve in curves
            ),
            "gaps": sum(sorted(curve) != list(range(1, len(curve) + 1)) for _, curve in curves),
        }

    def _url(self, folder: Path) -> str:
        return (folder / "study").as_uri()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of all systems: this repository can be imported, and arithmetic has one thread."""
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return {**os.environ, **single, **settings, "PYTHONPATH": str(ROOT)}
