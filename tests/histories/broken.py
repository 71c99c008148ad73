"""Stores that break the rule of `create` or of `get`, as code that people really use does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fsspec.implementations.local import LocalFileSystem

from storage_schema.store import Blob, Created, Unchanged
from storage_schema.store.local import LocalStore


class _Folder(LocalStore):
    """A folder with another way of creating."""

    def _path(self, key: str) -> Path:
        path = Path(urlsplit(self.url).path) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class Unconditional(_Folder):
    """Writes whether or not it is there, and says created."""

    def create(self, key: str, data: bytes) -> Created:
        self.replace(key, data)
        return Created.CREATED


class CheckThenAct(_Folder):
    """Looks, and writes what it has meanwhile made ready."""

    def create(self, key: str, data: bytes) -> Created:
        path = self._path(key)
        if path.exists():
            return Created.EXISTS
        ready = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
        ready.write_bytes(data)
        ready.replace(path)
        return Created.CREATED


class Fsspec(_Folder):
    """fsspec's own exclusive create on a local folder: exists(), then open("wb")."""

    def create(self, key: str, data: bytes) -> Created:
        try:
            LocalFileSystem().pipe_file(str(self._path(key)), data, mode="create")
        except FileExistsError:
            return Created.EXISTS
        return Created.CREATED


class ExclusiveOpen(_Folder):
    """Opens the final name with O_EXCL and writes then: one winner, and readers who see it torn."""

    def create(self, key: str, data: bytes) -> Created:
        try:
            descriptor = os.open(self._path(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return Created.EXISTS
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for byte in data:
                file.write(bytes([byte]))
        return Created.CREATED


class RemembersAbsence(LocalStore):
    """Caches that a key was absent, as a listing cache or an NFS client does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._absent: dict[str, int] = {}

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        if self._absent.get(key, 0) > 0:
            self._absent[key] -= 1
            return None
        found = super().get(key, unless)
        if found is None:
            self._absent[key] = 2
        return found


BROKEN: dict[str, Callable[[str], LocalStore]] = {
    "unconditional create": Unconditional,
    "check, then act": CheckThenAct,
    "fsspec's exclusive create": Fsspec,
    "exclusive open, then write": ExclusiveOpen,
    "remembers absence": RemembersAbsence,
}
