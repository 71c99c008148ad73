"""A running trial as the worker sees it: the interface of command mode and of warm function mode.

A launcher belongs to one slot and runs one trial at a time. All calls on one launcher and its processes come
from one thread at a time; several launchers may work in parallel threads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from storage_schema.clock import SystemClock
from storage_schema.errors import UserError
from storage_schema.records.study import Program
from storage_schema.redaction import Redactor
from storage_schema.trial_env import TrialFile
from workers.command_launcher import CommandLauncher
from workers.ending import Ended
from workers.reports import Report
from workers.warm_process import WarmLauncher

__all__ = ["Ended", "Launcher", "Report", "TrialProcess", "make_launcher"]


class TrialProcess(Protocol):
    """One attempt that runs, or has ended and not been closed."""

    def poll(self) -> Ended | None:
        """Return how the trial ended, or None while it runs. Cheap; once it ended, the answer stays.

        After the first Ended all output and all reports have been read: one more :meth:`reports` has the rest.
        """

    def reports(self) -> list[Report]:
        """Return the reports that came since the last call, in their order."""

    def wait(self, timeout_s: float) -> Ended | None:
        """Wait until the trial ends, at most `timeout_s` seconds; returns at once when it does."""

    def ask_to_stop(self, kind: str) -> None:
        """Write the stop file in one step, from any thread; `kind` is trial_env.STOP or trial_env.INTERRUPT."""

    def ask_to_save(self) -> None:
        """Write the save file in one step: a checkpoint is wished for, and the trial goes on."""

    def saved(self) -> None:
        """Take the wish back: a checkpoint was found. Never raises."""

    def terminate(self) -> None:
        """Send SIGTERM to the process group. Comes after :meth:`ask_to_stop` and the study's grace."""

    def kill(self) -> None:
        """Send SIGKILL to the process group."""

    def output(self) -> bytes:
        """Return stdout and stderr: the first and last MiB, with a line between that says what was left out."""

    def tail(self) -> str:
        """Return the last 40 lines of the output, at most 8 KiB."""

    def bad_lines(self) -> list[str]:
        """Return complaints on report lines that could not be read: the first 20, and how many more."""

    def close(self) -> None:
        """Kill what is left of the process group and let go of everything. May be called twice."""


class Launcher(Protocol):
    """Starts the trials of one slot; in function mode it keeps the slot's warm process."""

    def start(self, trial_file: TrialFile, folder: Path, gpus: tuple[str, ...]) -> TrialProcess:
        """Write ``<folder>/trial.json`` and start the trial.

        Makes `folder`, the checkpoint folder and an empty metrics file where they are missing, and removes an
        old stop file.

        Raises:
            UserError: the command cannot be started as it stands (exit 78 of the worker).
            OSError: this machine cannot start it now (disk full, no more processes).
        """

    def close(self) -> None:
        """End the warm process, if there is one."""


def make_launcher(
    program: Program,
    *,
    user_environment: Mapping[str, str],
    workdir: Path,
    objective: str,
    grace_s: float,
    redactor: Redactor | None = None,
    names: Collection[str] = (),
    longest: int | None = None,
) -> Launcher:
    """Return the launcher of one slot.

    Args:
        program: the study's command or function.
        user_environment: the environment the user started the worker with.
        workdir: the folder that trials run in.
        objective: the metric whose printed values count completed units (metric_patterns).
        grace_s: how long a warm process may take to end when its slot is closed; at most 5 s are used.
        redactor: takes secrets out of what a trial prints; by default what has the form of a credential.
        names: the study's parameters: those that a trial does not have are inactive in it.
        longest: units of a whole training; None without a resource.

    Raises:
        UserError: not exactly one of command and function, a bad function name, or a bad metric pattern.
    """
    if bool(program.command) == bool(program.function):
        raise UserError("the study must name exactly one of command and function")
    now = SystemClock().now
    if program.function:
        return WarmLauncher(
            program,
            user_environment=user_environment,
            workdir=workdir,
            objective=objective,
            grace_s=grace_s,
            now=now,
            redactor=redactor,
        )
    return CommandLauncher(
        program,
        user_environment=user_environment,
        workdir=workdir,
        objective=objective,
        now=now,
        redactor=redactor,
        names=names,
        longest=longest,
    )
