"""The one true store: what has landed. Faults lie between it and the processes, never in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator

from storage_schema.store import Blob, Created, Stat, Unchanged
from tests.simulation.clock import EPOCH_S

KEPT_VERSIONS = 6
"""Of a replaced object: what a stale read may still show."""


class TrueStore:
    """Objects under virtual time; every verb is atomic. A Store, so that audits read it as it is."""

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self.url = url
        self._now = now
        self.blobs: dict[str, Blob] = {}
        self._keys: list[str] = []
        self._older: defaultdict[str, list[Blob]] = defaultdict(list)
        self._writes = 0

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` if it is absent."""
        if key in self.blobs:
            return Created.EXISTS
        self._write(key, data)
        return Created.CREATED

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None, or UNCHANGED."""
        blob = self.blobs.get(key)
        return Unchanged.UNCHANGED if blob is not None and blob.version == unless else blob

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix`, in order."""
        first = max(bisect_left(self._keys, prefix), bisect_right(self._keys, start_after))
        for key in self._keys[first:]:
            if not key.startswith(prefix):
                break
            blob = self.blobs[key]
            yield Stat(key=key, size=len(blob.data), version=blob.version, modified=blob.modified)

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`."""
        if key in self.blobs:
            older = self._older[key]
            older.append(self.blobs[key])
            del older[:-KEPT_VERSIONS]
        self._write(key, data)

    def delete(self, key: str) -> None:
        """Remove `key`."""
        if self.blobs.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def older(self, key: str) -> list[Blob]:
        """Return versions of a replaced object that were overwritten, oldest first."""
        return self._older.get(key, [])

    def _write(self, key: str, data: bytes) -> None:
        self._writes += 1
        if key not in self.blobs:
            insort(self._keys, key)
        self.blobs[key] = Blob(data=data, version=f"v{self._writes}", modified=EPOCH_S + self._now())
