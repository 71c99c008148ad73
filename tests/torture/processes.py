"""Whether a killed worker left processes behind: they are known by a variable that all of a study's processes carry."""

from __future__ import annotations

import os
import time
from pathlib import Path

MARK = "TORTURE_MARK"
ORPHAN_S = 30.0
"""Within this time the children of a killed worker are ended by its guardian."""


def marked(mark: str) -> list[int]:
    """Return the processes, other than this one, whose environment carries the mark."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            if wanted in environment.split(b"\0"):
                found.append(int(folder.name))
    return found


def ended_soon(mark: str) -> list[str]:
    """Wait for the end of all processes that carry the mark; return the command lines of those that stay."""
    deadline = time.monotonic() + ORPHAN_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [_command(pid) for pid in left]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return str(pid)
