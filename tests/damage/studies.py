"""Two studies by real processes, as they lie in a folder: one that has ended, and one whose processes were killed."""

from __future__ import annotations

import itertools
from pathlib import Path

from hpo_pipe.coordinator.log import Log, read_study
from storage_schema.chain import read_chain
from storage_schema.history import History
from storage_schema.keys import CHECKPOINTS, SpecId
from storage_schema.records import Entry, LinkKind, Pause, Resume
from storage_schema.store import Blob, Store, open_store
from storage_schema.store.memory import MemoryStore
from tests.e2e.fleet import Fleet
from tests.unit.coordinator.world import never
from tests.waiting import wait_until

_NUMBERS = itertools.count()
Objects = dict[str, bytes]


def objects(store: Store) -> Objects:
    """Return all that a store holds."""
    found = {}
    for stat in store.list(""):
        blob = store.get(stat.key)
        assert isinstance(blob, Blob)
        found[stat.key] = blob.data
    return found


def in_memory(stored: Objects) -> MemoryStore:
    """Return a new store that holds `stored`."""
    store = MemoryStore(f"memory://damage-{next(_NUMBERS)}")
    for key, data in stored.items():
        store.create(key, data)
    return store


def finished_study(folder: Path) -> str:
    """Run a study to its end in `folder`; return its URL."""
    fleet = Fleet((folder / "study").as_uri(), folder, epoch_s=0.0)
    try:
        fleet.create(trials=4)
        fleet.start("coordinator", "--until-done")
        fleet.start("worker")
        wait_until(lambda: all(p.poll() is not None for p in fleet.processes.values()), 90, fleet.logs)
    finally:
        fleet.close()
    return fleet.url


def running_study(folder: Path) -> str:
    """Kill a study in its midst: results that no entry names yet, attempts under way, checkpoints."""
    fleet = Fleet((folder / "study").as_uri(), folder, epoch_s=0.15)
    try:
        fleet.create(trials=8)
        coordinator = fleet.start("coordinator")
        worker = fleet.start("worker", "--slots", "3", "--no-coordinator")
        store = open_store(fleet.url)
        wait_until(lambda: any(s.settled for s in history(store).specs.values()), 60, fleet.logs)
        fleet.kill(coordinator)
        wait_until(lambda: unsettled(store) and resumable(store), 60, fleet.logs)
        fleet.kill(worker)
    finally:
        fleet.close()
    assert unsettled(store)
    return fleet.url


def history(store: Store) -> History:
    """Return the fold of the log, as a new reader makes it."""
    log = Log(store, read_study(store))
    log.follow()
    return log.history


def unsettled(store: Store) -> list[SpecId]:
    """Return the open specs whose chain has ended."""
    return [spec for spec in history(store).open if _last(store, spec) is LinkKind.DONE]


def resumable(store: Store) -> list[SpecId]:
    """Return the open specs that are claimed and have a checkpoint of their own."""
    saved = [stat.key for stat in store.list(CHECKPOINTS) if stat.key.endswith("/manifest.json")]
    claimed = [spec for spec in history(store).open if _last(store, spec) is LinkKind.CLAIM]
    return [spec for spec in claimed if any(f"-{spec}." in key for key in saved)]


def with_snapshots(stored: Objects) -> Objects:
    """Return the objects after users have paused and resumed the study until its log was packed."""
    store = in_memory(stored)
    log = Log(store, read_study(store))
    log.follow()
    while log.history.head < 130:
        decision = (Resume if log.history.paused else Pause)(reason="a user")
        number = log.history.head + 1
        log.append(
            Entry(entry=number, token=f"{number}", author="user", facts=None, decisions=(decision,)), never
        )
        log.pack()
    return objects(store)


def _last(store: Store, spec: SpecId) -> LinkKind | None:
    chain = read_chain(store, spec)
    return chain[-1].kind if chain else None
