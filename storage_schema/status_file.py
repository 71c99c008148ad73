"""What a worker tells a launcher that does not wait for it: its process's number, and at its end its exit code.

Two lines of a file that :data:`VARIABLE` names: ``pid 4711``, and ``exit 0``. Without the second one a process that is
gone was killed, or its machine went down.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "HPO_PIPE_STATUS_FILE"
MAX_BYTES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What stands in a status file; None: it was not told."""

    pid: int | None = None
    exit_code: int | None = None


def begin(path: Path, pid: int, *, replace: bool) -> None:
    """Write the first line; an existing file stays as it is, unless it is to be replaced. Raises OSError."""
    with contextlib.suppress(FileExistsError), path.open("wb" if replace else "xb") as file:
        file.write(b"pid %d\n" % pid)


def end(path: Path, exit_code: int) -> None:
    """Write the second line. Raises OSError."""
    with path.open("ab") as file:
        file.write(b"exit %d\n" % exit_code)


def read(path: Path) -> Told:
    """Read a status file; what is not there, or makes no sense, was not told."""
    try:
        with path.open("rb") as file:
            words = file.read(MAX_BYTES).split()
    except OSError:
        return Told()
    told = dict(zip(words[::2], words[1::2], strict=False))
    return Told(pid=_number(told.get(b"pid")), exit_code=_number(told.get(b"exit")))


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= 10 else None
