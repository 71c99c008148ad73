"""What one tick of a coordinator costs at 100, 1,000 and 10,000 trials, in time and in store requests.

The store is memory, so the time is the coordinator's own work. A peer's figure stands beside it: Optuna's ask and tell
with its file journal at as many trials.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hpo_pipe.coordinator.tick import Coordinator
from storage_schema.keys import SpecId
from storage_schema.records import Limits
from storage_schema.store import Blob, Created, Stat, Store, Unchanged
from tests.benchmarks.tables import heading, median, table
from tests.unit.coordinator.world import HandWorker, World, a_study, never

SIZES = (100, 1_000, 10_000)
SLOTS = 200


class Counting:
    """A store that counts its calls."""

    def __init__(self, store: Store) -> None:
        self.store, self.url, self.calls = store, store.url, Counter[str]()

    def create(self, key: str, data: bytes) -> Created:
        self.calls["create"] += 1
        return self.store.create(key, data)

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        self.calls["get"] += 1
        return self.store.get(key, unless)

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        self.calls["list"] += 1
        return self.store.list(prefix, start_after)

    def replace(self, key: str, data: bytes) -> None:
        self.calls["replace"] += 1
        self.store.replace(key, data)

    def delete(self, key: str) -> None:
        self.calls["delete"] += 1
        self.store.delete(key)


def claimable(world: World) -> list[SpecId]:
    return [line.spec for line in world.board().open]


def finish_one(worker: HandWorker, spec: SpecId) -> None:
    """Claim and end a spec; its value follows from its name."""
    worker.claim(spec, beat=False)
    value = (spec.entry * 7919 + spec.index * 104729) % 99991 / 99991
    worker.done(spec, {1: value})


def grown(size: int) -> tuple[World, HandWorker]:
    """Return a study with `size` trials done, and a worker, led there by a coordinator."""
    study = a_study(resource=None, limits=Limits(trials=2 * size + 4 * SLOTS), searcher={"name": "random"})
    world = World(f"bench-{size}", study)
    coordinator, worker = world.coordinator(), HandWorker(world, "w-bench", slots=SLOTS)
    worker.beat()
    while True:
        world.clock.time += 0.1
        coordinator.tick()
        done = sum(len(rung) for rung in coordinator.history.rungs)
        if done >= size:
            return world, worker
        for spec in claimable(world)[: size - done]:
            finish_one(worker, spec)


def timed(action: Callable[[], object]) -> float:
    """Return how long `action` took, in milliseconds."""
    start = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - start)


def ours(size: int) -> list[list[object]]:
    world, worker = grown(size)
    counting = Counting(world.store)
    warm = Coordinator(counting, world.study, clock=world.clock, wait=never, name="c-warm")
    cold_ms = timed(warm.tick)
    cold_requests = dict(counting.calls)
    counting.calls.clear()
    idle = [timed(warm.tick) for _ in range(20)]
    idle_requests = sum(counting.calls.values()) / 20
    counting.calls.clear()
    busy = []
    for spec in claimable(world)[:20]:
        finish_one(worker, spec)
        world.clock.time += 0.1
        busy.append(timed(warm.tick))
    busy_requests = sum(counting.calls.values()) / len(busy)
    return [
        [f"{size:,} trials: nothing new", median(idle), idle_requests],
        [f"{size:,} trials: one result", median(busy), busy_requests],
        [f"{size:,} trials: cold start", cold_ms, sum(cold_requests.values())],
    ]


def optuna_ask_tell(size: int) -> float | None:
    """Return the milliseconds of one ask and tell of Optuna at `size` trials, or None where it is not installed."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        backend = optuna.storages.journal.JournalFileBackend(str(Path(folder) / "journal"))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), sampler=optuna.samplers.RandomSampler()
        )
        done = optuna.trial.create_trial(
            params={"lr": 0.5}, distributions={"lr": optuna.distributions.FloatDistribution(0, 1)}, value=0.5
        )
        study.add_trials([done] * size)

        def ask_and_tell() -> None:
            trial = study.ask()
            trial.suggest_float("lr", 0, 1)
            study.tell(trial, 0.5)

        ask_and_tell()
        return median(timed(ask_and_tell) for _ in range(20))


def main() -> None:
    heading("tick", "one tick of a coordinator, memory store")
    rows = [row for size in SIZES for row in ours(size)]
    for size in SIZES:
        peer = optuna_ask_tell(size)
        rows.append(
            [f"Optuna, journal file, {size:,} trials: ask + tell", "-" if peer is None else peer, "-"]
        )
    table(["what", "ms", "requests"], rows)


if __name__ == "__main__":
    main()
