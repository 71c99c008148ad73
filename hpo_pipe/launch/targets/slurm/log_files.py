"""What workers printed: one file for each task of the array, in a folder that nodes and users see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

TAIL_BYTES = 1024 * 1024


def tails(folder: Path, name: str, array: str = "", *, task: str | None, lines: int) -> Iterator[str]:
    """Yield the last lines of each file, under a heading of the job's id.

    Args:
        folder: of ``--logs``.
        name: the submission's.
        array: the array's id; empty: whichever has that name.
        task: one job's id; None: all.
        lines: of each, at most.
    """
    own = re.compile(re.escape(name) + r"-(([0-9]+)_([0-9]+))\.log")
    found = []
    for path in folder.glob(f"{name}-*.log"):
        match = own.fullmatch(path.name)
        if match and array in ("", match[2]) and task in (None, match[1]):
            found.append((int(match[2]), int(match[3]), path))
    for job, index, path in sorted(found):
        yield f"==> {job}_{index} <=="
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            yield from log.read().decode("utf-8", "replace").splitlines()[-lines:]
