"""How a trial's process ended, in numbers and in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from storage_schema.trial_env import EXIT_INTERRUPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a process: an exit status or the signal that ended it, and what that means."""

    status: int | None
    """Exit status; None when a signal ended the process."""
    signal: int | None
    """Number of the signal; None after an exit."""
    reason: str
    """One line for people."""


def ended(returncode: int, *, killed_by_us: bool = False) -> Ended:
    """Put a return code (negative: minus the signal's number, as subprocess has it) into words."""
    if returncode < 0:
        return Ended(status=None, signal=-returncode, reason=_by_signal(-returncode, killed_by_us))
    return Ended(status=returncode, signal=None, reason=_by_status(returncode))


def _by_status(status: int) -> str:
    known = {
        0: "finished",
        EXIT_INTERRUPTED: f"interrupted (exit status {EXIT_INTERRUPTED})",
        126: "exit status 126: a command in the script could not be executed",
        127: "exit status 127: a command in the script was not found",
        128 + signal.SIGKILL: "exit status 137: something in the script was killed (out of memory?)",
    }
    return known.get(status, f"failed with exit status {status}")


def _by_signal(number: int, killed_by_us: bool) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    if killed_by_us:
        return f"ended by the worker with signal {number} ({name})"
    if number == signal.SIGKILL:
        return f"killed by signal {number} ({name}) from outside (out of memory?)"
    return f"ended by signal {number} ({name})"
