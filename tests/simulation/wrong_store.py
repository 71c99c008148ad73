"""Planted faults of stores, and of how an uncertain answer is settled (PROTOCOL.md, 2 and 5.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage_schema.codec import encode_record
from storage_schema.errors import AccessDenied, OutcomeUnknown, StoreUnavailable
from storage_schema.store import Blob, Created, Settled, Store, Unchanged, Wait, create_settled
from tests.simulation.objects import TrueStore
from tests.simulation.patching import everywhere, replaced
from tests.simulation.store import ProcessStore


@contextmanager
def no_condition() -> Iterator[None]:
    """`create` writes, whatever is there."""

    def create(self: TrueStore, key: str, data: bytes) -> Created:
        self.replace(key, data)
        return Created.CREATED

    with replaced(TrueStore, create=create):
        yield


@contextmanager
def check_then_act() -> Iterator[None]:
    """`create` is two requests: is it there? If not, write."""
    send = ProcessStore.create

    def create(self: ProcessStore, key: str, data: bytes) -> Created:
        return send(self, key, data) if self.get(key) is None else Created.EXISTS

    with no_condition(), replaced(ProcessStore, create=create):
        yield


@contextmanager
def denied_is_absent() -> Iterator[None]:
    """A read that is refused finds nothing."""
    ask = ProcessStore.get

    def get(self: ProcessStore, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        try:
            return ask(self, key, unless)
        except AccessDenied:
            return None

    with replaced(ProcessStore, get=get):
        yield


@contextmanager
def exists_is_lost() -> Iterator[None]:
    """Whoever is told `exists` has lost, though the bytes may be his own."""
    with _settling(lambda data, found: (data, False)):
        yield


@contextmanager
def no_answer_is_yes() -> Iterator[None]:
    """A create that was sent is taken for done."""

    def settled(store: Store, key: str, data: bytes, *, wait: Wait) -> Settled:
        return create_settled(_Hopeful(store), key, data, wait=wait)

    with everywhere(create_settled, settled):
        yield


@contextmanager
def another_token() -> Iterator[None]:
    """An uncertain create is repeated as a new record."""
    with _settling(lambda data, found: (_with_another_token(data), found == data)):
        yield


class _Hopeful:
    """The two verbs of a store that `create_settled` uses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get = store.get

    def create(self, key: str, data: bytes) -> Created:
        try:
            return self._store.create(key, data)
        except OutcomeUnknown:
            return Created.CREATED


@contextmanager
def _settling(judge: Callable[[bytes, bytes | None], tuple[bytes, bool]]) -> Iterator[None]:
    """Settle creates otherwise: `judge` says what to send next, and whether what was found is one's own."""

    def settled(store: Store, key: str, data: bytes, *, wait: Wait) -> Settled:
        failed = 0
        while True:
            try:
                if store.create(key, data) is Created.CREATED:
                    return Settled(mine=True, data=data)
                found = store.get(key)
                if isinstance(found, Blob):
                    return Settled(mine=judge(data, found.data)[1], data=found.data)
                said = "it exists, and it does not"
            except StoreUnavailable as error:
                said = str(error)
            failed += 1
            wait(failed, said)
            data = judge(data, None)[0]

    with everywhere(create_settled, settled):
        yield


def _with_another_token(data: bytes) -> bytes:
    if not data.startswith(b"{"):
        return data
    value = json.loads(data)
    value.pop("check", None)
    return encode_record(value | {"token": f"{value['token']}-"}) if "token" in value else data
