"""A store that is asked again at once when a request fails: a tick is many requests, and one that fails ends it.

Of a store that refuses half of all requests ("503 SlowDown"), a tick of ten would get through once in a thousand.
Only requests that read are repeated. What a missing answer to `create` means is settled by reading back
(PROTOCOL.md, 5.1), and no two heartbeats or boards may have the same bytes (5.4).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from storage_schema.clock import Clock
from storage_schema.errors import AccessDenied, StoreUnavailable
from storage_schema.store import Blob, Created, Stat, Store, Unchanged

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE_S = 0.1
"""The greatest first pause; doubled each time, and drawn from zero up (full jitter)."""


class Steady:
    """The five verbs of `store`; get and list are tried up to `TRIES` times."""

    def __init__(self, store: Store, clock: Clock, rng: random.Random) -> None:
        self.url = store.url
        self._store = store
        self._clock = clock
        self._rng = rng

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` if it is absent; one try."""
        return self._store.create(key, data)

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None where it is absent, or UNCHANGED where its version equals `unless`."""
        return self._tried(lambda: self._store.get(key, unless))

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` in ascending key order, from the first key > `start_after`."""
        yield from self._tried(lambda: [*self._store.list(prefix, start_after)])

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`, whether or not it exists; one try."""
        self._store.replace(key, data)

    def delete(self, key: str) -> None:
        """Remove `key`; no error where it is absent; one try."""
        self._store.delete(key)

    def _tried(self, request: Callable[[], T]) -> T:
        for tried in range(TRIES - 1):
            try:
                return request()
            except AccessDenied:
                raise  # not a matter of a moment
            except StoreUnavailable:
                self._clock.sleep(self._rng.uniform(0.0, FIRST_PAUSE_S * 2.0**tried))
        return request()
