"""The loop around the ticks: how it waits for a store that is away."""

from __future__ import annotations

import random
import threading
from typing import Any

from hpo_pipe.coordinator.loop import EXIT_INTERRUPTED, coordinate
from hpo_pipe.coordinator.world import World as Outside
from storage_schema.errors import StoreUnavailable
from storage_schema.store import Blob, Store, Unchanged
from tests.unit.coordinator.world import VirtualClock, World


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


def test_a_coordinator_is_back_within_seconds_of_a_long_outage() -> None:
    world, ended = World("outage"), threading.Event()
    back_at = world.clock.time + 600
    store = AwayUntil(world.store, world.clock, back_at, ended)
    said: list[str] = []
    outside = Outside(store=store, say=said.append, clock=world.clock, rng=random.Random(3))
    assert coordinate(outside, ended) == EXIT_INTERRUPTED
    assert [line for line in said if line.startswith("waiting:")] == ["waiting: get study.json: no answer"]
    assert max(b - a for a, b in zip(store.asked_at, store.asked_at[1:], strict=False)) <= 5
    assert len(store.asked_at) < 400  # and does not hammer at it
