"""Saving a checkpoint, all or nothing. Standard library only; imported by `hpo_pipe.trial`."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing is not imported: this is what a training script pays for
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class CheckpointFolder:
    """A context: files are written into a hidden folder, which a rename puts into place at the end.

    After an exception within the context nothing is left of it. A checkpoint of the same resource is replaced: it
    is moved aside by a rename before the new one takes its name, and removed after.
    """

    def __init__(self, parent: str, resource: int, committed: Callable[[int], None]) -> None:
        self._parent = parent
        self._resource = resource
        self._committed = committed
        self._temporary = ""

    def __enter__(self) -> Path:
        """Make the hidden folder and return it."""
        from pathlib import Path  # here: a script without checkpoints need not pay for it

        self._temporary = self._hidden_name("new")
        folder = Path(self._temporary)
        folder.mkdir(parents=True)
        return folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit, or throw away after an exception."""
        if kind is not None:
            _remove(self._temporary)
            return
        final = os.path.join(self._parent, str(self._resource))  # noqa: PTH118
        old = self._hidden_name("old")
        replaces = os.path.lexists(final)
        if replaces:
            os.rename(final, old)  # noqa: PTH104
        try:
            os.rename(self._temporary, final)  # noqa: PTH104
        except OSError:
            if replaces:
                os.rename(old, final)  # noqa: PTH104
            _remove(self._temporary)
            raise
        if replaces:
            _remove(old)
        self._committed(self._resource)

    def _hidden_name(self, role: str) -> str:
        CheckpointFolder._count += 1
        name = f".{self._resource}-{role}-{os.getpid()}-{CheckpointFolder._count}"
        return os.path.join(self._parent, name)  # noqa: PTH118

    _count = 0


def _remove(folder: str) -> None:
    from shutil import rmtree  # here: it takes milliseconds to import

    rmtree(folder, ignore_errors=True)
