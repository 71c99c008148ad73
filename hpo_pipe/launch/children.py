"""The processes of `hpo-pipe run`: started, watched, started again within a bound, and ended in order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

MAX_RESTARTS = 5
"""How often one child that died unexpectedly is started again."""
RESTART_S = 1.0
"""The wait before the first restart; doubled for each further one."""
TAIL_LINES = 12
TAIL_BYTES = 16 * 1024

_EXIT_INTERRUPTED = 75
_EXIT_USAGE = 2
_EXIT_CONFIGURATION = 78
_PR_SET_PDEATHSIG = 1


class Fate(Enum):
    """What an exit status of a child means."""

    ENDED = "ended"
    """Done, idle, or interrupted by somebody else: not started again."""
    DIED = "died"
    """Worth another try."""
    REFUSED = "refused"
    """No further try can succeed."""


def fate(status: int) -> Fate:
    """Return what exit status `status` (negative: the signal that killed it) means."""
    if status in (0, _EXIT_INTERRUPTED):
        return Fate.ENDED
    return Fate.REFUSED if status in (_EXIT_USAGE, _EXIT_CONFIGURATION) else Fate.DIED


@dataclass(slots=True, kw_only=True)
class Child:
    """One process that is kept alive."""

    name: str
    command: list[str]
    folder: Path
    """Its working folder."""
    log: Path
    """Where what it prints is appended."""
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    restart_at: float | None = None
    """Monotonic seconds; None while it runs, or where it will not be started again."""
    status: int | None = None
    """The last exit status."""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None

    @property
    def over(self) -> bool:
        """Whether it neither runs nor will be started again."""
        return self.process is None and self.restart_at is None

    def start(self) -> None:
        """Start the process in a group of its own, so that the terminal's Ctrl-C does not reach it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        self.restart_at = None

    def signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the process and its group at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.status, self.process = self.process.wait(), None

    def tail(self) -> list[str]:
        """Return the last lines that it printed."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode("utf-8", "replace").rstrip().splitlines()[-TAIL_LINES:]
        return []


@dataclass(slots=True, kw_only=True)
class Children:
    """All children of one run."""

    coordinator: Child
    workers: list[Child]
    notes: list[str] = field(default_factory=list)
    """What happened, for people; the caller takes them out."""
    refused: Child | None = None
    """The first child that no further try can help."""

    @property
    def all(self) -> list[Child]:
        """Coordinator and workers."""
        return [self.coordinator, *self.workers]

    def start(self) -> None:
        """Start all."""
        for child in self.all:
            child.start()

    def poll(self, now: float, *, restart: bool) -> None:
        """Take note of those that ended; start again those that are due. `now`: monotonic seconds."""
        for child in self.all:
            status = child.process.poll() if child.process else None
            if status is not None:
                child.process, child.status = None, status
                self._ended(child, status, now, restart)
            if restart and child.restart_at is not None and now >= child.restart_at:
                child.start()

    def _ended(self, child: Child, status: int, now: float, restart: bool) -> None:
        what = fate(status)
        if what is Fate.REFUSED and self.refused is None:
            self.refused = child
        if what is not Fate.DIED or not restart:
            return
        child.deaths += 1
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        if child.deaths > MAX_RESTARTS:
            self.notes.append(
                f"{child.name} {how}, for the {child.deaths}th time: given up (see {child.log})"
            )
        else:
            pause = RESTART_S * 2.0 ** (child.deaths - 1)
            child.restart_at = now + pause
            self.notes.append(f"{child.name} {how}; it starts again in {pause:.0f} s (see {child.log})")
        if status > 0:
            self.notes += [f"  | {line}" for line in child.tail()]

    def interrupt(self) -> None:
        """Ask the workers to hand back what they hold and end; the coordinator stays until they have."""
        for child in self.workers:
            child.restart_at = None
            child.signal(signal.SIGTERM)
        self.coordinator.restart_at = None

    def kill(self) -> None:
        """End all at once."""
        for child in self.all:
            child.restart_at = None
            child.kill()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded before any fork: the child only calls it."""


def _end_with_parent() -> None:
    """Have SIGTERM sent to this child when its parent dies, so that a killed `run` leaves nothing behind."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
