"""What is asked of a store: five verbs, one of which (`create`) carries all safety.

There is no verb ``put``: one word must not mean "create only if absent" here and "overwrite" there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Created(enum.Enum):
    """The two definite answers of :meth:`Store.create`."""

    CREATED = "created"
    EXISTS = "exists"
    """An object was there. It may be one's own, landed earlier with its answer lost: read back."""


class Unchanged(enum.Enum):
    """The answer of a conditional read that found the version which the caller already has."""

    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What a listing tells of one object."""

    key: str
    size: int
    """Bytes."""
    version: str
    """Changes whenever the object is replaced (an ETag, or inode, time and size). Not a content hash."""
    modified: float
    """Seconds since the epoch on the store's clock; compare only with other times of the same store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One object as read."""

    data: bytes
    version: str
    modified: float


class Store(Protocol):
    """Objects under one study URL. Keys are relative, ASCII, ``/``-separated. All methods are thread-safe.

    Every method may raise :class:`~storage_schema.errors.StoreUnavailable`; 401 and 403 count as that,
    never as "absent".
    """

    url: str
    """The study URL, without credentials and without a slash at the end."""

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` with all of `data` or not at all, only if it is absent; durable on return.

        Raises:
            OutcomeUnknown: no definite answer came; the object may exist now or come to exist later.
        """
        ...

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None where it is absent, or UNCHANGED where its version equals `unless`."""
        ...

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` in ascending key order (byte order), from the first key > `start_after`."""
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`, whether or not it exists; readers see the old or the new bytes whole. For hints only."""
        ...

    def delete(self, key: str) -> None:
        """Remove `key`; no error where it is absent."""
        ...
