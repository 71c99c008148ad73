"""Attempts run through the real launcher, as a worker would run them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_schema.records.study import Program
from storage_schema.trial_env import TrialFile
from tests.waiting import wait_until
from workers.trial_process import Ended, Launcher, Report, TrialProcess, make_launcher


def trial_file(folder: Path, **changes: Any) -> TrialFile:
    fields: dict[str, Any] = {
        "study": "s",
        "trial": 7,
        "spec": "00000001-000",
        "attempt": 1,
        "parameters": {"lr": 0.1, "units": 32, "kind": "relu"},
        "resource_name": "epoch",
        "start": 0,
        "to": 3,
        "objective": "loss",
        "goal": "minimize",
        "seed": 5,
        "metrics_file": str(folder / "metrics.jsonl"),
        "checkpoint_dir": str(folder / "checkpoints"),
        "restored": None,
        "stop_file": str(folder / "stop"),
        "save_file": str(folder / "save"),
    }
    return TrialFile(**{**fields, **changes})


def user_environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), **more}


def launcher(workdir: Path, variables: dict[str, str], /, **program: Any) -> Launcher:
    return make_launcher(
        Program(**program),
        user_environment=user_environment(**variables),
        workdir=workdir,
        objective="loss",
        grace_s=2.0,
    )


@dataclass
class Outcome:
    ended: Ended
    reports: list[Report]
    output: str
    bad_lines: list[str]
    folder: Path
    file: TrialFile

    @property
    def curve(self) -> list[tuple[int, dict[str, float]]]:
        return [(report.resource, dict(report.values)) for report in self.reports]

    @property
    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in Path(self.file.checkpoint_dir).iterdir())


@dataclass
class Attempts:
    """Attempts of one launcher, each in a folder of its own."""

    launcher: Launcher
    root: Path
    processes: list[TrialProcess] = field(default_factory=list)

    def start(self, gpus: tuple[str, ...] = (), **changes: Any) -> tuple[TrialProcess, TrialFile, Path]:
        folder = self.root / f"attempt-{len(self.processes)}"
        file = trial_file(folder, **changes)
        process = self.launcher.start(file, folder, gpus)
        self.processes.append(process)
        return process, file, folder

    def run(self, gpus: tuple[str, ...] = (), timeout_s: float = 30.0, **changes: Any) -> Outcome:
        process, file, folder = self.start(gpus, **changes)
        return self.outcome(process, file, folder, timeout_s)

    def outcome(
        self, process: TrialProcess, file: TrialFile, folder: Path, timeout_s: float = 30.0
    ) -> Outcome:
        ended = process.wait(timeout_s) or wait_until(process.poll, timeout_s, "the end of the trial")
        outcome = Outcome(
            ended, process.reports(), process.output().decode(), process.bad_lines(), folder, file
        )
        process.close()
        return outcome

    def close(self) -> None:
        for process in self.processes:
            process.close()
        self.launcher.close()


Make = Callable[..., Attempts]
"""Makes attempts of a program: the fixture ``make``."""


def python(text: str) -> tuple[str, ...]:
    """Return the command that runs a text, without placeholders."""
    return ("python", "-c", text.replace("{", "{{").replace("}", "}}"))


def write(tmp_path: Path, **files: str) -> None:
    """Write modules into the working folder."""
    (tmp_path / "work").mkdir(exist_ok=True)
    for name, text in files.items():
        (tmp_path / "work" / f"{name}.py").write_text(text)
