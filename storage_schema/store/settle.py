"""`create` to a definite outcome: an answer that was lost is settled by reading back.

A create whose answer is lost is repeated with the same bytes until the store says created or exists; on
exists the object is read, and equal bytes mean that it is one's own (each record carries its author's
token). A 404 after a time-out proves nothing: the request may still land (PROTOCOL.md, 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage_schema.errors import StoreUnavailable
from storage_schema.store.protocol import Blob, Created, Store

Wait = Callable[[int, str], None]
"""Called with the number of the failed try (1, 2, ...) and what the store said; sleeps, and raises to give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Who won a key, and what lies there."""

    mine: bool
    data: bytes


def create_settled(store: Store, key: str, data: bytes, *, wait: Wait) -> Settled:
    """Create `key` or learn who did.

    Args:
        store: the study's store.
        key: the record's key.
        data: the record's bytes, with the author's token in them.
        wait: called before the next try; giving up equals a crash: the record may still land.

    Returns:
        whether this author's record stands, and the bytes that stand.
    """
    failed = 0
    while True:
        try:
            if store.create(key, data) is Created.CREATED:
                return Settled(mine=True, data=data)
            found = store.get(key)
            if isinstance(found, Blob):
                return Settled(mine=found.data == data, data=found.data)
            # "exists", then absent: a store that is not consistent, or a hand that deletes. Ask again.
            said = "it says that the object exists, and then that it does not"
        except StoreUnavailable as error:  # OutcomeUnknown is one of them
            said = str(error)
        failed += 1
        wait(failed, said)
