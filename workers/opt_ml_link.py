"""``/opt/ml`` itself, for scripts that have this path written into them: a link to the tree of the trial that runs.

There is one such path on a machine, so one trial at a time may have it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from storage_schema.errors import UserError

VARIABLE = "HPO_PIPE_OPT_ML"
"""The path that is to be the link; it must not exist, or be a link, and its folder must be writable."""


class OptMlLink:
    """The link, and a lock beside it that is held as long as this worker lives."""

    def __init__(self, path: str) -> None:
        """Take the path. Raises UserError: it is none that a link could stand at."""
        if not os.path.isabs(path):  # noqa: PTH117 (Path would make "" the current folder)
            raise UserError(f"{VARIABLE} is {path[:200]!r}, expected an absolute path such as /opt/ml")
        self._path = Path(path)
        self._lock: int | None = None

    def lead_to(self, root: Path) -> None:
        """Let the path lead to a tree.

        Raises:
            UserError: something else stands there, the folder is not writable, or another trial has the path.
        """
        if self._path.exists() and not self._path.is_symlink():
            raise UserError(
                f"{VARIABLE}: {self._path} exists and is no link: this works where nothing is there, in an image for "
                "instance; within a SageMaker job scripts have to take their paths from SM_* variables or arguments"
            )
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._hold()
            new.unlink(missing_ok=True)
            new.symlink_to(root)
            new.replace(self._path)
        except BlockingIOError:
            raise UserError(
                f"{VARIABLE}: another trial on this machine has {self._path}: --slots 1"
            ) from None
        except OSError as error:
            raise UserError(f"{VARIABLE}: {self._path} cannot be made a link: {error.strerror}") from None

    def close(self) -> None:
        """Take the link away, if it is ours, and let others have the path."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> None:
        if self._lock is None:
            name = self._path.with_name(f".{self._path.name}.lock")
            lock = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
            self._lock = lock
