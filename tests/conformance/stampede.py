"""Many workers after as many specs at the same moment, in virtual time: one seed gives one history.

The workers' real code for board and claims runs in a thread for each, one thread at a time, from one of its requests
to the next; each request takes as long as the seed says.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from storage_schema.clock import SystemClock
from storage_schema.keys import BOARD, CHAIN, SpecId, log_key
from storage_schema.records import Board, Entry, OpenSpec
from storage_schema.store import Blob, Created, Stat, Unchanged
from storage_schema.store.memory import MemoryStore, forget
from tests.unit.workers.stage import issue, study
from workers.board import BoardReader
from workers.claim import Desk
from workers.lease import Lease, Machine
from workers.world import World

LATENCY = (0.5, 1.5)
"""Of one request, drawn evenly, in units of the mean."""
STACK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stampede:
    wins: dict[SpecId, list[str]]
    """The workers that believe they won it."""
    creates: int
    reads: int
    """Of logs, chains and the board."""
    time: float
    """Until the last worker had its spec, in mean latencies."""

    @property
    def creates_per_win(self) -> float:
        return self.creates / sum(map(len, self.wins.values()))


class _Turns:
    """Who may run: the one whose request ends next."""

    def __init__(self, rng: random.Random) -> None:
        self.now = 0.0
        self._rng = rng
        self._due: list[tuple[float, int, threading.Event]] = []
        self._number = 0
        self._idle = threading.Event()

    def request(self) -> None:
        """Sleep until the request of this thread has arrived; called by the one thread that runs."""
        self._number += 1
        mine = threading.Event()
        heapq.heappush(self._due, (self.now + self._rng.uniform(*LATENCY), self._number, mine))
        self._idle.set()
        mine.wait()

    def start(self, thread: threading.Thread) -> None:
        self._let(thread.start)

    def ended(self) -> None:
        self._idle.set()

    def run(self) -> None:
        while self._due:
            self.now, _, mine = heapq.heappop(self._due)
            self._let(mine.set)

    def _let(self, go: object) -> None:
        self._idle.clear()
        go()  # type: ignore[operator]
        self._idle.wait()


class _Slow:
    """A store whose every request takes its time."""

    def __init__(self, inner: MemoryStore, turns: _Turns) -> None:
        self.inner, self.url, self._turns = inner, inner.url, turns
        self.calls: Counter[str] = Counter()

    def create(self, key: str, data: bytes) -> Created:
        self._turns.request()
        self.calls["create"] += 1
        return self.inner.create(key, data)

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        self._turns.request()
        self.calls["get"] += 1
        return self.inner.get(key, unless)

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        self._turns.request()
        return self.inner.list(prefix, start_after)

    def replace(self, key: str, data: bytes) -> None:
        self._turns.request()
        self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        raise AssertionError(f"a claim deletes nothing, and {key} least of all")


def stampede(workers: int, specs: int, seed: int) -> Stampede:
    """Let `workers` workers, started at the same moment, each claim one of `specs` specs."""
    inner = MemoryStore(f"memory://stampede-{workers}-{specs}-{seed}")
    _publish(inner, specs)
    turns = _Turns(random.Random(seed))
    store = _Slow(inner, turns)
    wins: dict[SpecId, list[str]] = {}
    before = threading.stack_size(STACK_BYTES)
    try:
        threads = [
            threading.Thread(target=_work, args=(store, turns, wins, seed * workers + n), daemon=True)
            for n in range(workers)
        ]
        for thread in threads:
            turns.start(thread)
    finally:
        threading.stack_size(before)
    turns.run()
    for thread in threads:
        thread.join(10)
    assert {stat.key[6:18].replace("/", "-") for stat in inner.list(CHAIN)} == {str(spec) for spec in wins}
    forget(inner.url)
    return Stampede(wins=wins, creates=store.calls["create"], reads=store.calls["get"], time=turns.now)


def _publish(store: MemoryStore, specs: int) -> None:
    """Write entries that issue the specs, and the board that offers them."""
    lines = []
    for entry, first in enumerate(range(0, specs, 1000)):
        issues = tuple(issue(trial) for trial in range(first, min(first + 1000, specs)))
        record = Entry(entry=entry, token="c", author="user", facts=None, decisions=issues)
        store.create(log_key(entry), record.to_bytes())
        lines += [
            OpenSpec(spec=spec, next_link=1, priority=0, trial=one.trial) for spec, one in record.issues()
        ]
    store.replace(BOARD, Board(head=lines[-1].spec.entry, open=tuple(lines)).to_bytes())


def _work(store: _Slow, turns: _Turns, wins: dict[SpecId, list[str]], seed: int) -> None:
    rng = random.Random(seed)
    world = World(
        store=store,
        clock=SystemClock(),
        rng=rng,
        say=lambda _: None,
        token=lambda: f"{rng.getrandbits(64):016x}",
    )
    lease = Lease(world, study().timing, Machine(name="h", host="h", pid=1, slots=1, gpus=0))
    desk = Desk(
        world, study(), BoardReader(world), lease, max_age_s=0, stopping=lambda: False, give_up=lambda: False
    )
    try:
        for _ in range(100):
            claimed = desk.claim(frozenset())
            if claimed is not None:
                wins.setdefault(claimed.spec, []).append(lease.worker)
                return
    finally:
        turns.ended()
