"""The worker's end of the guardian: marks what is started, and tells the guardian about it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from workers import guardian

_GUARDIANS_OWN = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", guardian.VARIABLE)


class Guard:
    """One guardian process for this worker process; started on first use, and again if it was killed."""

    def __init__(self) -> None:
        self.mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return `environment` with the mark that every started process must carry, after those of outer workers."""
        marks = [*filter(None, [environment.get(guardian.VARIABLE)]), self.mark]
        return {**environment, guardian.VARIABLE: guardian.SEPARATOR.join(marks)}

    def be_ready(self) -> None:
        """Start the guardian if none runs. Call before a trial is started: its mark is what protects it at first."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._restart()

    def add(self, group: int) -> None:
        """Let the guardian kill this process group when this process dies."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """The group is gone."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the guardian clean up and end."""
        with self._lock:
            if self._process is not None:
                _stdin(self._process).close()
                self._process.wait()
                self._process = None

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None or not self._sent(line):
                self._restart()

    def _sent(self, line: str) -> bool:
        assert self._process is not None
        try:
            return os.write(_stdin(self._process).fileno(), line.encode()) == len(line)
        except OSError:  # it was killed, or is stopped and its pipe is full
            return False

    def _restart(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()
            _stdin(self._process).close()
            self._process.wait()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(guardian.__file__)), self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_plain_environment(),
            start_new_session=True,  # Ctrl-C and a closed terminal reach the worker, not the guardian
            bufsize=0,
        )
        os.set_blocking(_stdin(self._process).fileno(), False)
        self._sent("".join(f"+{group}\n" for group in sorted(self._groups)))


def _plain_environment() -> dict[str, str]:
    """Return what an interpreter needs to start: a guardian's environment can be read by the trials."""
    own = os.environ  # noqa: TID251 (an edge)
    return {name: own[name] for name in _GUARDIANS_OWN if name in own}


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


_guards: dict[int, Guard] = {}
_guards_lock = threading.Lock()


def process_guard() -> Guard:
    """Return the guard of this process; a fork has its own."""
    with _guards_lock:
        if os.getpid() not in _guards:
            _guards[os.getpid()] = Guard()
        return _guards[os.getpid()]
