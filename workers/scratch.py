"""The worker's scratch folder: removed at its end; what a killed worker left is removed by the next one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workers.remove_tree import remove_tree

VARIABLE = "HPO_PIPE_SCRATCH"
"""Where scratch folders are made; the system's temporary folder if it is not set."""

_PREFIX = "hpo-pipe-worker-"
_LOCK = ".lock"


@contextmanager
def scratch_folder(environment: Mapping[str, str]) -> Iterator[Path]:
    """Make a folder that is only this worker's; hold its lock as long as it is used. Raises OSError."""
    parent = Path(environment.get(VARIABLE) or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        remove_tree(folder)
        os.close(lock)


def _remove_left_over(parent: Path) -> None:
    """Remove this user's folders whose lock nobody holds: their workers were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # just made, or not ours to look at
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)
        except OSError:
            pass  # its worker lives
        finally:
            os.close(lock)
