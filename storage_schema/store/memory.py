"""``memory://name``: a store in this process, for tests and simulations. Gone when the process ends."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from storage_schema.clock import Clock, SystemClock
from storage_schema.errors import UserError
from storage_schema.store.key_rules import checked_key, checked_prefix
from storage_schema.store.protocol import Blob, Created, Stat, Unchanged

_PAGE = 1000
"""Objects that one look under the lock takes, as on S3."""


class _Space:
    """The objects of one URL, shared by all stores that this process opens on it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blobs: dict[str, Blob] = {}
        self.keys: list[str] = []  # sorted
        self.writes = 0


_SPACES: dict[str, _Space] = {}
_SPACES_LOCK = threading.Lock()


class MemoryStore:
    """A store in a dict; two stores of one URL in one process see the same objects."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        """Open the space named by `url`; `clock` gives the modified times."""
        self.url = url.rstrip("/")
        if not self.url.removeprefix("memory:").strip("/"):
            raise UserError(f"study URL {url!r}: a memory store has a name, as in memory://first")
        self._clock = clock or SystemClock()
        with _SPACES_LOCK:
            self._space = _SPACES.setdefault(self.url, _Space())

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` if it is absent."""
        checked_key(key)
        with self._space.lock:
            if key in self._space.blobs:
                return Created.EXISTS
            self._write(key, data)
            return Created.CREATED

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None where it is absent, or UNCHANGED where its version equals `unless`."""
        with self._space.lock:
            blob = self._space.blobs.get(checked_key(key))
        return Unchanged.UNCHANGED if blob is not None and blob.version == unless else blob

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` in ascending key order, from the first key > `start_after`."""
        checked_prefix(prefix)
        while page := self._page(prefix, start_after):
            yield from page
            start_after = page[-1].key

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`, whether or not it exists."""
        checked_key(key)
        with self._space.lock:
            self._write(key, data)

    def delete(self, key: str) -> None:
        """Remove `key`; no error where it is absent."""
        with self._space.lock:
            if self._space.blobs.pop(checked_key(key), None) is not None:
                del self._space.keys[bisect_left(self._space.keys, key)]

    def _write(self, key: str, data: bytes) -> None:
        space = self._space
        space.writes += 1
        if key not in space.blobs:
            insort(space.keys, key)
        space.blobs[key] = Blob(data=bytes(data), version=str(space.writes), modified=self._clock.now())

    def _page(self, prefix: str, start_after: str) -> tuple[Stat, ...]:
        space, page = self._space, []
        with space.lock:
            first = max(bisect_left(space.keys, prefix), bisect_right(space.keys, start_after))
            for key in space.keys[first : first + _PAGE]:
                if not key.startswith(prefix):
                    break
                blob = space.blobs[key]
                page.append(Stat(key=key, size=len(blob.data), version=blob.version, modified=blob.modified))
        return tuple(page)


def forget(url: str) -> None:
    """Drop all objects of the space `url`; stores that are open on it keep what they see."""
    with _SPACES_LOCK:
        _SPACES.pop(url.rstrip("/"), None)
