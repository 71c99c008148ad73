"""Processes (or threads) that contend for one study with the project's own code, each recording what it saw."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from hpo_pipe.coordinator.log import Log
from storage_schema.chain import read_chain
from storage_schema.clock import SystemClock
from storage_schema.errors import ProtocolViolation, StoreUnavailable
from storage_schema.keys import BOARD, SpecId, log_key
from storage_schema.records import Board, Entry, Link, LinkKind, OpenSpec, Pause, Resume
from storage_schema.store import Store, create_settled, open_store
from tests.histories.recorder import Operation, Recorded, patiently, read_history
from tests.unit.workers.stage import issue, study
from workers.board import BoardReader
from workers.claim import Desk
from workers.lease import Lease, Machine
from workers.world import World

T = TypeVar("T")
START_S = 120


class HurriedClock(SystemClock):
    """Waits for a lossy store are short here: what counts is how often it is asked."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return super().wait(event, timeout_s / 20)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 20)


@dataclass(frozen=True, kw_only=True)
class Contention:
    """What to do, where, and how often."""

    url: str
    folder: Path
    """Where the histories go."""
    work: str
    """A name of WORKS."""
    rounds: int
    contenders: int = 4
    opener: str = "storage_schema.store:open_store"
    """``module:function`` that opens the store from its URL."""
    environment: Mapping[str, str] | None = None

    def open(self, process: str) -> Recorded:
        module, _, name = self.opener.partition(":")
        return Recorded(getattr(import_module(module), name)(self.url), self.folder, process)


def contend_in_processes(contention: Contention) -> list[Operation]:
    """Run it in spawned processes; return the history."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(contention.contenders)
    return _all_of(
        contention,
        [
            context.Process(target=_contend, args=(contention, number, barrier), daemon=True)
            for number in range(contention.contenders)
        ],
    )


def contend_in_threads(contention: Contention) -> list[Operation]:
    """Run it in threads of this process: for a store that lives in one."""
    barrier = threading.Barrier(contention.contenders)
    failed: list[int] = []

    def contend(number: int) -> None:
        try:
            _contend(contention, number, barrier)
        except SystemExit:
            failed.append(number)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(contention.contenders)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within requests, not only between them
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(START_S)
    finally:
        sys.setswitchinterval(interval)
    assert not failed, f"contenders {failed} failed: see stderr"
    return read_history(contention.folder)


def _all_of(contention: Contention, processes: list[Any]) -> list[Operation]:
    for process in processes:
        process.start()
    for process in processes:
        process.join(START_S)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
        process.close()
    assert set(codes) == {0}, f"contenders ended with {codes}: see stderr"
    return read_history(contention.folder)


def _contend(contention: Contention, number: int, barrier: Any) -> None:
    os.environ.update(contention.environment or {})
    try:
        store = contention.open(f"p{number}")
        barrier.wait(START_S)
        WORKS[contention.work](store, contention.rounds, random.Random(number), barrier)
    except Exception:
        traceback.print_exc()
        barrier.abort()
        raise SystemExit(1) from None


def _again(action: Callable[[], T]) -> T:
    """Do it until the store answers."""
    for failed in range(1, 101):
        try:
            return action()
        except StoreUnavailable as error:
            patiently(failed, str(error))
    raise AssertionError("not reached")


def _storm(store: Store, rounds: int, rng: random.Random, barrier: Any) -> None:
    """All create the same entry at the same moment, look before and after; then the next one."""
    for number in range(rounds):
        barrier.wait(START_S)
        if rng.random() < 0.5:
            _again(lambda number=number: store.get(log_key(number)))
        create_settled(store, log_key(number), secrets.token_bytes(40), wait=patiently)
        _again(lambda number=number: store.get(log_key(number)))


def _log(store: Store, rounds: int, rng: random.Random, barrier: Any) -> None:
    """Follow the log and append to it, with the coordinator's code, until it has `rounds` entries."""
    log = Log(store, study())
    while log.history.head + 1 < rounds:
        _again(log.follow)
        token = f"{rng.getrandbits(64):016x}"
        decision = Resume(reason=token) if log.history.paused else Pause(reason=token)
        entry = Entry(
            entry=log.history.head + 1, token=token, author="user", facts=None, decisions=(decision,)
        )
        with contextlib.suppress(StoreUnavailable):
            log.append(entry, patiently)


def _claims(store: Store, rounds: int, rng: random.Random, barrier: Any) -> None:
    """Claim with the worker's code; give back, close, or fence another's; each contender publishes a board too."""
    token = lambda: f"{rng.getrandbits(64):016x}"  # noqa: E731
    specs = _issued(store, rounds)
    world = World(store=store, clock=HurriedClock(), rng=rng, say=lambda _: None, token=token)
    lease = Lease(
        world, study().timing, Machine(name="h", host="h", pid=rng.randrange(9999), slots=1, gpus=0)
    )
    desk = Desk(
        world,
        study(),
        BoardReader(world),
        lease,
        max_age_s=0,
        stopping=lambda: False,
        give_up=lambda: False,
    )
    for _ in range(100 * rounds):
        if not _publish(store, specs, lease.worker, rng):
            return
        with contextlib.suppress(StoreUnavailable):
            claimed = desk.claim(frozenset())
            if claimed is not None:
                claim = claimed.holding.claim
                kind = rng.choice([LinkKind.RELEASE, LinkKind.DONE, None])
                if kind is not None:
                    _follow(store, claim, kind, lease.worker, token())
                lease.let_go(claimed.holding, closed=True)


def _issued(store: Store, rounds: int) -> list[SpecId]:
    issues = tuple(issue(trial) for trial in range(rounds))
    entry = Entry(entry=0, token="one for all", author="user", facts=None, decisions=issues)
    create_settled(store, log_key(0), entry.to_bytes(), wait=patiently)
    _again(lambda: store.get(log_key(0)))
    return [spec for spec, _ in entry.issues()]


def _publish(store: Store, specs: list[SpecId], author: str, rng: random.Random) -> bool:
    """Fence now and then, offer what is open; return whether anything is left."""
    lines, settled = [], 0
    for spec in rng.sample(specs, len(specs)):
        chain = _again(lambda spec=spec: read_chain(store, spec))
        last = chain[-1] if chain else None
        if last is not None and last.settles:
            settled += 1
        elif last is None or last.opens:
            lines.append(OpenSpec(spec=spec, next_link=len(chain) + 1, priority=0, trial=spec.index))
        elif rng.random() < 0.5:
            _follow(store, last, LinkKind.FENCE, author, f"{rng.getrandbits(64):016x}")
    board = Board(head=0, open=tuple(lines), beat=rng.getrandbits(40))
    with contextlib.suppress(StoreUnavailable):
        store.replace(BOARD, board.to_bytes())
    return settled < len(specs)


def _follow(store: Store, last: Link, kind: LinkKind, author: str, token: str) -> None:
    link = last.following(kind, token=token, author=author, at=0.0)
    with contextlib.suppress(StoreUnavailable):
        create_settled(store, link.key, link.to_bytes(), wait=patiently)


WORKS: dict[str, Callable[[Store, int, random.Random, Any], None]] = {
    "storm": _storm,
    "log": _log,
    "claims": _claims,
}


def holders(url: str, rounds: int) -> list[str]:
    """Return what is wrong in the chains as they stand: grammar, and closing links of somebody else's claim."""
    store, found = open_store(url), []
    for place in range(rounds):
        try:
            chain = read_chain(store, SpecId(0, place))
        except ProtocolViolation as error:
            found.append(str(error))
            continue
        for claim, end in itertools.pairwise(chain):
            if end.kind in (LinkKind.DONE, LinkKind.FAIL, LinkKind.RELEASE) and end.author != claim.author:
                found.append(f"{end.key}: {end.kind} by {end.author}, claimed by {claim.author}")
        if not chain or not chain[-1].settles:
            found.append(f"chain of spec {place} has not ended")
    return found
