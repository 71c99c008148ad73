"""The process that outlives its worker by a moment, to take the worker's trials with it.

PR_SET_PDEATHSIG reaches only a direct child, and only of the thread that started it. So each worker has one
guardian: a child that reads a pipe from the worker. Its lines are ``+<group>`` and ``-<group>``. When the pipe ends
(and it ends however the worker died), the guardian kills the process groups that are left, and, where there is a
/proc, every process that carries the worker's mark in its environment: also one that was being started just then,
and one that has left its group.

Run as a file, isolated: ``python -I -S guardian.py <mark>``. Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

VARIABLE = "HPO_PIPE_GUARD"
SEPARATOR = ":"
_ROUNDS = 50
_PAUSE_S = 0.02


def main(mark: str) -> None:
    """Follow the pipe on standard input, and clean up after its end."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    groups = _followed()
    for group in groups:
        _kill(-group)
    _kill_marked(mark.encode())


def _followed() -> set[int]:
    groups: set[int] = set()
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line[1:].isdigit():
                (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    return groups


def _kill_marked(mark: bytes) -> None:
    """Kill all that carry `mark`, until for a while there is nobody: a process may be between fork and exec."""
    quiet = 0
    for _ in range(_ROUNDS):
        found = _marked(mark)
        for pid in found:
            _kill(pid)
        quiet = 0 if found else quiet + 1
        if quiet > 5:
            return
        select.select([], [], [], _PAUSE_S)


def _marked(mark: bytes) -> list[int]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []
    return [pid for pid in pids if pid != os.getpid() and _carries(pid, mark)]


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:  # noqa: PTH123
            variables = environment.read().split(b"\0")
    except OSError:
        return False
    name = f"{VARIABLE}=".encode()
    return any(v.startswith(name) and mark in v[len(name) :].split(SEPARATOR.encode()) for v in variables)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
