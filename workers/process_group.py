"""A child process in a session and process group of its own, guarded against outliving the worker."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from storage_schema.errors import UserError
from workers.guard import process_guard

_USERS_MISTAKES = {
    errno.ENOEXEC: "has no #! line and is no program; name its interpreter (sh, python, ...) in the command",
    errno.ENOENT: "cannot be started: it, its #! interpreter or the working folder does not exist",
    errno.EACCES: "cannot be started: permission denied",
    errno.E2BIG: "cannot be started: arguments and environment are too long",
    errno.ENOTDIR: "cannot be started: the working folder is not a folder",
}


class ProcessGroup:
    """The group that a child leads. What is left of it is killed in the moment the child ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._returncode: int | None = None
        self.ended_by_us = False
        try:
            self._pidfd: int | None = os.pidfd_open(process.pid)
        except (OSError, AttributeError):  # not Linux, or a sandbox without it
            self._pidfd = None

    @classmethod
    def start(
        cls,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        workdir: Path,
        output_fd: int,
        pass_fds: tuple[int, ...] = (),
    ) -> ProcessGroup:
        """Start a program with nothing on standard input, and both outputs on `output_fd`.

        Raises:
            UserError: it cannot be started as it stands.
            OSError: not now.
        """
        guard = process_guard()
        guard.be_ready()
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output_fd,
                stderr=output_fd,
                cwd=workdir,
                env=guard.marked(environment),
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as error:
            if error.errno in _USERS_MISTAKES:
                raise UserError(f"command: {arguments[0]} {_USERS_MISTAKES[error.errno]}") from None
            raise
        guard.add(process.pid)
        return cls(process)

    def returncode(self) -> int | None:
        """Return the child's return code (negative: a signal) once it has ended."""
        if self._returncode is None and self._has_ended():
            # Before the child is reaped its number cannot be given to another process.
            self._send(signal.SIGKILL)
            self._returncode = self._process.wait()
            process_guard().discard(self._process.pid)
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
        return self._returncode

    def wait(self, timeout_s: float, also: int | None = None) -> None:
        """Wait until the child ends or `also` can be read; at most `timeout_s` seconds."""
        if self._returncode is not None:
            return
        poller = select.poll()
        if self._pidfd is not None:
            poller.register(self._pidfd, select.POLLIN)
        elif also is None:
            self._wait_without_pidfd(timeout_s)
            return
        if also is not None:
            poller.register(also, select.POLLIN)
        poller.poll(max(0.0, timeout_s) * 1000)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; does nothing once the child has ended."""
        if self._returncode is None:
            self.ended_by_us = True
            self._send(number)

    def end(self) -> int:
        """Kill the group, if it lives, and return the child's return code."""
        while (code := self.returncode()) is None:
            self.signal(signal.SIGKILL)
            self.wait(1.0)
        return code

    def _has_ended(self) -> bool:
        if self._pidfd is None:
            return self._process.poll() is not None
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(0))

    def _send(self, number: int) -> None:
        # Nobody left; macOS says "not permitted" where only zombies are.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _wait_without_pidfd(self, timeout_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, timeout_s))
