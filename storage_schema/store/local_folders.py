"""The folders of a folder store: made when needed, never a symbolic link, durable before their content."""

from __future__ import annotations

import contextlib
import os
import stat
import threading

from storage_schema.errors import DamagedRecord, StoreUnavailable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MADE_AGAIN = 20
"""How often a folder may vanish (somebody deletes the last object in it) under one who writes into it."""


class Folders:
    """Folders below `root`, which is resolved already; remembers those that it has looked at."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._seen: set[str] = set()
        self._durable: set[str] = set()
        self._making = threading.Lock()

    def exists(self, folder: str) -> bool:
        """Tell whether `folder` ("" is the root) is there.

        Raises:
            DamagedRecord: it, or one above it, is a symbolic link or a file.
        """
        if folder in self._seen:
            return True
        if folder and not self.exists(folder.rpartition("/")[0]):
            return False
        path = self._path(folder)
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISLNK(mode):
            raise DamagedRecord(folder, f"{path} is a symbolic link; a study's folder holds none")
        if not stat.S_ISDIR(mode):
            return False
        self._seen.add(folder)
        return True

    def open_in(self, folder: str, path: str, flags: int, *, durable: bool) -> int:
        """Open the new file `path` in `folder`, mode 0600, making the folder; returns the descriptor."""
        for _ in range(_MADE_AGAIN):
            try:
                if folder not in (self._durable if durable else self._seen):
                    with self._making:
                        self._make(folder, durable=durable)
                return os.open(path, flags, 0o600)
            except FileNotFoundError:
                self._forget(folder)
        raise StoreUnavailable(f"{self._path(folder)}: vanishes as often as it is made")

    def prune(self, folder: str) -> None:
        """Remove `folder` and those above it as far as they are empty, but never the root."""
        while folder:
            try:
                os.rmdir(self._path(folder))
            except OSError:
                return
            self._forget(folder)
            folder = folder.rpartition("/")[0]

    def _make(self, folder: str, *, durable: bool) -> None:
        if folder in self._durable:
            return
        path = self._path(folder)
        if folder:
            self._make(folder.rpartition("/")[0], durable=durable)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        else:
            os.makedirs(path, 0o700, exist_ok=True)
        if not self.exists(folder):
            if os.path.lexists(path):
                raise DamagedRecord(folder, f"{path} is a file where a folder should be")
            raise FileNotFoundError(path)
        if durable:
            # Also where another process made it: it may not have flushed the folder above yet.
            with contextlib.suppress(PermissionError):  # the root's parent need not be readable
                sync_folder(os.path.dirname(path))
            self._durable.add(folder)

    def _forget(self, folder: str) -> None:
        while True:
            self._seen.discard(folder)
            self._durable.discard(folder)
            if not folder:
                return
            folder = folder.rpartition("/")[0]

    def _path(self, folder: str) -> str:
        return f"{self.root}/{folder}" if folder else self.root


def sync_folder(path: str) -> None:
    """Flush the entries of the folder `path` to disk (fsync(2): a file's own fsync does not)."""
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
