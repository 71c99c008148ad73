"""The bench on which a store is tried: its verbs, timed, patient with single failures, under one prefix."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

from storage_schema.errors import AccessDenied, HpoPipeError, OutcomeUnknown, StoreUnavailable
from storage_schema.store.protocol import Blob, Created, Stat, Store, Unchanged

PATIENCE = 10
"""How often a verb is tried while the store does not answer; a proof must not mistake a bad network for a bad store."""

_T = TypeVar("_T")


class Bench:
    """A store's verbs on keys below `base`; remembers what it wrote and how long each call took."""

    def __init__(self, store: Store, base: str) -> None:
        self.store = store
        self.base = base
        self.times_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._written: set[str] = set()

    def key(self, name: str) -> str:
        """Return the key of `name` on this bench, to be deleted at the end."""
        self._written.add(self.base + name)
        return self.base + name

    def create(self, name: str, data: bytes) -> Created:
        """Create; an answer that was lost is settled by reading back."""
        key = self.key(name)
        for _ in range(PATIENCE):
            try:
                if self._timed("create", lambda: self.store.create(key, data)) is Created.CREATED:
                    return Created.CREATED
            except AccessDenied:
                raise
            except StoreUnavailable:
                continue
            found = self.get(name)
            return Created.CREATED if isinstance(found, Blob) and found.data == data else Created.EXISTS
        raise OutcomeUnknown(f"create {key}: no answer after {PATIENCE} tries")

    def get(self, name: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Get, tried again while the store does not answer."""
        key = self.key(name)
        return self._patiently("get", lambda: self.store.get(key, unless))

    def list(self, prefix: str = "", start_after: str = "") -> tuple[Stat, ...]:
        """List below the bench; `start_after` is relative to it too."""
        after = self.base + start_after if start_after else ""
        return self._patiently("list", lambda: tuple(self.store.list(self.base + prefix, after)))

    def names(self, prefix: str = "", start_after: str = "") -> tuple[str, ...]:
        """List below the bench, names only."""
        return tuple(stat.key[len(self.base) :] for stat in self.list(prefix, start_after))

    def stat(self, name: str) -> Stat | None:
        """Return what a listing says of `name`."""
        return next((stat for stat in self.list(name) if stat.key == self.base + name), None)

    def replace(self, name: str, data: bytes) -> None:
        """Replace, tried again while the store does not answer."""
        key = self.key(name)
        self._patiently("replace", lambda: self.store.replace(key, data))

    def delete(self, name: str) -> None:
        """Delete, tried again while the store does not answer."""
        key = self.key(name)
        self._patiently("delete", lambda: self.store.delete(key))

    def clean_up(self) -> None:
        """Delete all that was written; what cannot be deleted stays, and harms nothing."""
        for key in sorted(self._written):
            with contextlib.suppress(HpoPipeError):
                self.store.delete(key)

    def _patiently(self, verb: str, call: Callable[[], _T]) -> _T:
        for _ in range(PATIENCE - 1):
            try:
                return self._timed(verb, call)
            except AccessDenied:
                raise
            except StoreUnavailable:
                continue
        return self._timed(verb, call)

    def _timed(self, verb: str, call: Callable[[], _T]) -> _T:
        began = perf_counter()
        answer = call()
        self.times_ms[verb].append((perf_counter() - began) * 1000)
        return answer
