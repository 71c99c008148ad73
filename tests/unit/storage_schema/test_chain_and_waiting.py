from __future__ import annotations

import random
import threading

import pytest

from storage_schema.chain import next_link_number, read_chain
from storage_schema.errors import DamagedRecord, ProtocolViolation, StoreUnavailable
from storage_schema.keys import LinkId, SpecId, link_key
from storage_schema.records import Link, LinkKind
from storage_schema.store.memory import MemoryStore
from storage_schema.waiting import GaveUp, Patience

SPEC = SpecId(3, 1)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.sleep(timeout_s)
        return event.is_set()


def store_with(request: pytest.FixtureRequest, *kinds: LinkKind) -> MemoryStore:
    store = MemoryStore(f"memory://{request.node.name.replace('[', '-').replace(']', '')}")
    for number, kind in enumerate(kinds, 1):
        link = Link(kind=kind, id=LinkId(SPEC, number), token="t", author="w-1")
        store.create(link.key, link.to_bytes())
    return store


def test_a_chain_is_read_to_its_end(request: pytest.FixtureRequest) -> None:
    kinds = (LinkKind.CLAIM, LinkKind.FENCE, LinkKind.CLAIM, LinkKind.DONE)
    store = store_with(request, *kinds)
    links = read_chain(store, SPEC)
    assert tuple(link.kind for link in links) == kinds
    assert [link.kind for link in read_chain(store, SPEC, first=3)] == [LinkKind.CLAIM, LinkKind.DONE]
    assert next_link_number(links[-1]) == 5
    assert next_link_number(None) == 1
    assert read_chain(store, SpecId(3, 2)) == []


@pytest.mark.parametrize(
    "kinds",
    [
        (LinkKind.DONE,),
        (LinkKind.CLAIM, LinkKind.CLAIM),
        (LinkKind.CLAIM, LinkKind.DONE, LinkKind.FENCE),
        (LinkKind.CLAIM, LinkKind.STOP, LinkKind.CLAIM),
    ],
)
def test_links_that_may_not_follow_are_named(
    request: pytest.FixtureRequest, kinds: tuple[LinkKind, ...]
) -> None:
    store = store_with(request, *kinds)
    with pytest.raises(ProtocolViolation, match=link_key(LinkId(SPEC, len(kinds)))):
        read_chain(store, SPEC)


def test_a_damaged_link_is_named(request: pytest.FixtureRequest) -> None:
    store = store_with(request, LinkKind.CLAIM)
    store.create(link_key(LinkId(SPEC, 2)), b"{}")
    with pytest.raises(DamagedRecord, match=link_key(LinkId(SPEC, 2))):
        read_chain(store, SPEC)


def test_waiting_doubles_up_to_its_ceiling_and_says_so_once() -> None:
    clock, said = Clock(), list[str]()
    patience = Patience(clock, random.Random(1), say=said.append, first_s=1.0, most_s=8.0)
    left = iter(range(30))

    def action() -> str:
        if next(left, None) is None:
            return "there"
        raise StoreUnavailable("no route to the bucket")

    assert patience.through(action) == "there"
    assert len(clock.slept) == 30
    assert all(0 <= slept <= min(8.0, 2.0**n) for n, slept in enumerate(clock.slept))
    assert max(clock.slept) > 4.0
    assert said == ["waiting: no route to the bucket"]


def test_waiting_gives_up_when_told_or_after_its_limit() -> None:
    def away() -> None:
        raise StoreUnavailable("away")

    clock = Clock()
    with pytest.raises(GaveUp, match="away"):
        Patience(clock, random.Random(1), limit_s=20.0).through(away)
    assert 20.0 <= clock.time <= 40.0
    with pytest.raises(GaveUp):
        Patience(clock, random.Random(1), give_up=lambda: True).through(away)


def test_other_errors_pass_through() -> None:
    def broken() -> None:
        raise DamagedRecord("k", "bad")

    with pytest.raises(DamagedRecord):
        Patience(Clock(), random.Random(1)).through(broken)
