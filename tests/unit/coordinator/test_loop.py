"""The loop around the ticks: how it waits for a store that is away."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
from collections.abc import Callable
from typing import Any

from hpo_pipe.coordinator.loop import EXIT_INTERRUPTED, coordinate
from hpo_pipe.coordinator.world import World as Outside
from storage_schema.errors import StoreUnavailable
from storage_schema.keys import BOARD
from storage_schema.store import Blob, Store, Unchanged
from tests.unit.coordinator.world import HandWorker, VirtualClock, World


class AwayUntil:
    """A store that is away for some time; then it ends the loop that asks."""

    def __init__(self, store: Store, clock: VirtualClock, back_at: float, ended: threading.Event) -> None:
        self.asked_at: list[float] = []
        self._store, self._clock, self._back_at, self._ended = store, clock, back_at, ended

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        self.asked_at.append(self._clock.time)
        if self._clock.time < self._back_at:
            raise StoreUnavailable(f"get {key}: no answer")
        self._ended.set()
        return self._store.get(key, unless)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class HalfAway:
    """A store that refuses half of all requests, at random; a board on it ends the loop."""

    def __init__(self, store: Store, rng: random.Random, ended: threading.Event) -> None:
        self.requests = 0
        self._store, self._rng, self._ended = store, rng, ended

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return found if name == "url" else lambda *more: self._maybe(found, *more)

    def _maybe(self, request: Callable[..., Any], key: str, *more: Any) -> Any:
        self.requests += 1
        if self._rng.random() < 0.5:
            raise StoreUnavailable(f"{key}: the store asks for fewer requests")
        if key == BOARD:
            self._ended.set()
        return request(key, *more)


def test_ticks_get_through_to_a_store_that_refuses_half_of_all_requests() -> None:
    took_s = []
    for seed in range(25):
        world, ended = World(f"half-{seed}"), threading.Event()
        for number in range(8):
            HandWorker(world, f"w-{number}").beat()
        begin = world.clock.time
        store = HalfAway(world.store, random.Random(seed), ended)
        outside = Outside(store=store, say=lambda _: None, clock=world.clock, rng=random.Random(seed))
        coordinate(outside, ended)
        took_s.append(world.clock.time - begin)
        assert store.requests < 400
    assert statistics.median(took_s) < 10


def test_a_coordinator_is_back_within_seconds_of_a_long_outage() -> None:
    world, ended = World("outage"), threading.Event()
    back_at = world.clock.time + 600
    store = AwayUntil(world.store, world.clock, back_at, ended)
    said: list[str] = []
    outside = Outside(store=store, say=said.append, clock=world.clock, rng=random.Random(3))
    assert coordinate(outside, ended) == EXIT_INTERRUPTED
    assert [line for line in said if line.startswith("waiting:")] == ["waiting: get study.json: no answer"]
    assert max(b - a for a, b in itertools.pairwise(store.asked_at)) <= 5
    assert len(store.asked_at) < 1500  # and does not hammer at it
