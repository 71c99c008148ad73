"""Ticks over a study in memory: what is issued, settled, promoted, fenced, stopped and finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hpo_pipe.coordinator.append import append_user_entry
from hpo_pipe.coordinator.presence import READ_GRAIN_S
from hpo_pipe.coordinator.tick import Coordinator
from hpo_pipe.replay import replay
from storage_schema.chain import read_chain
from storage_schema.errors import DamagedRecord, StoreUnavailable
from storage_schema.keys import BOARD, LinkId, SegmentId, SpecId, link_key, log_key, segment_key, worker_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import (
    Board,
    Entry,
    Finish,
    Limits,
    LinkKind,
    Pause,
    Resume,
    RetryTrial,
    StopTrial,
)
from storage_schema.store import Blob, Created, Store, Unchanged
from tests.unit.coordinator.world import HandWorker, World, a_study, never


def loss_of(trial: int) -> float:
    """Give trial 3 the best loss, then 1, then the others in order."""
    return {3: 0.1, 1: 0.2}.get(trial, 1.0 + trial)


def work_off(world: World, worker: HandWorker, coordinator: Coordinator, rounds: int = 40) -> None:
    """Tick, and finish whatever is open, until the study has ended."""
    for _ in range(rounds):
        world.clock.sleep(1)
        if coordinator.tick().closed:
            return
        for spec in list(coordinator.history.open.values()):
            if worker.claim(spec.id):
                worker.done(
                    spec.id,
                    {r: loss_of(spec.issue.trial) for r in range(spec.issue.start + 1, spec.issue.to + 1)},
                )
    raise AssertionError("the study does not end")


class JustBefore:
    """A store in which something else happens just before a key is created for the first time."""

    def __init__(self, store: Store, key: str, happens: Callable[[], object]) -> None:
        self._store = store
        self._key = key
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> Created:
        if key == self._key:
            self._key = ""
            self._happens()
        return self._store.create(key, data)


def entries(world: World) -> list[Entry]:
    """Return the whole log."""
    found: list[Entry] = []
    while isinstance(blob := world.store.get(log_key(len(found))), Blob):
        found.append(Entry.from_bytes(blob.data, len(found)))
    return found


def test_a_study_runs_to_its_end_and_its_log_replays() -> None:
    world = World("end")
    coordinator = world.coordinator()
    work_off(world, HandWorker(world, "w-a"), coordinator)
    history = world.history()
    assert [t.number for t in history.trials] == list(range(6))
    best = history.best()
    assert best is not None and best.number == 3
    assert history.state(best) == "PAUSED" or best.rung > 0
    assert {history.state(t) for t in history.trials} <= {"COMPLETE", "PRUNED"}
    assert history.finished is not None and world.board().finished == history.finished_entry
    assert list(replay(world.study, entries(world))) == []
    assert history.gpu_s == 4.0 * len(history.specs)


def test_a_backlog_waits_for_workers_and_grows_with_their_slots() -> None:
    world = World("backlog", a_study(limits=Limits(trials=100)))
    coordinator = world.coordinator()
    coordinator.tick()
    few = len(coordinator.history.open)
    assert 1 <= few <= 4
    HandWorker(world, "w-a", slots=8).beat()
    coordinator.tick()
    assert len(coordinator.history.open) == few + 8
    assert len(world.board().open) == few + 8


def test_what_is_claimed_is_not_on_the_board() -> None:
    world = World("claimed")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    first = world.board().open[0].spec
    worker.claim(first)
    coordinator.tick()
    assert first not in [line.spec for line in world.board().open]


def test_the_backlog_grows_where_it_runs_dry_and_shrinks_where_it_does_not() -> None:
    world = World("dry", a_study(limits=Limits(trials=1000), resource=None, scheduler={"name": "none"}))
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a", slots=1)
    sizes = []
    for _ in range(6):
        coordinator.tick()
        sizes.append(len(coordinator.history.open))
        for spec in list(coordinator.history.open):
            if worker.claim(spec):
                worker.done(spec, {1: 0.5})
    assert sizes[-1] >= 4 * sizes[0]
    for _ in range(200):
        coordinator.tick()
        for spec in list(coordinator.history.open)[:1]:
            if worker.claim(spec):
                worker.done(spec, {1: 0.5})
    assert len(coordinator.history.open) < sizes[-1] / 4


def test_a_silent_holder_is_fenced_and_its_spec_goes_to_another() -> None:
    world = World("fence")
    coordinator, dead, alive = world.coordinator(), HandWorker(world, "w-dead"), HandWorker(world, "w-live")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    dead.claim(spec)
    fenced = []
    for _ in range(6):
        alive.beat()
        fenced += coordinator.tick().fenced
        world.clock.sleep(10)
    assert [link.spec for link in fenced] == [spec]
    assert [link.kind for link in read_chain(world.store, spec)] == [LinkKind.CLAIM, LinkKind.FENCE]
    assert any(o.spec == spec and o.next_link == 3 for o in world.board().open)
    assert alive.claim(spec)
    alive.done(spec, {1: 0.5})
    coordinator.tick()
    assert coordinator.history.specs[spec].settled is not None


def test_a_zombie_finds_its_next_link_taken() -> None:
    world = World("zombie")
    coordinator, zombie = world.coordinator(), HandWorker(world, "w-z")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    zombie.claim(spec)
    late = zombie._next(spec, LinkKind.DONE)
    for _ in range(6):
        coordinator.tick()
        world.clock.sleep(10)
    assert not zombie._write(late)
    assert [link.kind for link in read_chain(world.store, spec)] == [LinkKind.CLAIM, LinkKind.FENCE]


def test_a_one_shot_tick_fences_by_the_stores_clock() -> None:
    world = World("one-shot")
    world.coordinator(one_shot=True).tick()
    spec = next(iter(world.history().open))
    HandWorker(world, "w-dead").claim(spec)
    young = world.coordinator(one_shot=True)
    assert young.tick().fenced == ()
    young.leave()
    modified = world.store.get(worker_key("w-dead"))
    assert isinstance(modified, Blob)
    old = world.coordinator(one_shot=True)
    old._presence._lease_s = -READ_GRAIN_S  # the store's clock cannot be turned here: let any age be too old
    assert [link.spec for link in old.tick().fenced] == [spec]


def test_two_coordinators_in_turns_make_one_log() -> None:
    world = World("two")
    a, b = world.coordinator(), world.coordinator()
    worker = HandWorker(world, "w-a", slots=2)
    for turn in range(60):
        world.clock.sleep(1)
        ticked = (a, b)[turn % 2].tick()
        if ticked.closed:
            break
        for open_spec in world.board().open[:1]:
            if worker.claim(open_spec.spec):
                to = world.history().specs[open_spec.spec].issue.to
                worker.done(open_spec.spec, {r: loss_of(open_spec.trial) for r in range(1, to + 1)})
    assert ticked.closed
    assert list(replay(world.study, entries(world))) == []
    issued = [issue for entry in entries(world) for _, issue in entry.issues()]
    assert len({(i.trial, i.rung) for i in issued}) == len(issued)


def test_a_tick_from_nothing_says_the_same_as_one_that_kept_running() -> None:
    world = World("cold")
    warm = world.coordinator()
    worker = HandWorker(world, "w-a")
    for _ in range(4):
        warm.tick()
        for spec in list(warm.history.open.values())[:2]:
            if worker.claim(spec.id):
                worker.done(spec.id, {1: loss_of(spec.issue.trial), 3: 0.2, 9: 0.1})
    warm.tick()
    cold = world.coordinator()
    assert cold.tick().entries == 0
    assert cold.history.head == warm.history.head
    assert list(cold.history.open) == list(warm.history.open)


def test_failures_with_retries_left_open_the_chain_again_and_the_last_one_settles() -> None:
    world = World("fails")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    worker.claim(spec)
    worker.fail(spec, {1: 0.3}, retries_left=1, failures=1, reason="exit status 3")
    coordinator.tick()
    assert coordinator.history.specs[spec].settled is None
    worker.claim(spec)
    worker.fail(spec, {1: 0.3}, retries_left=0, failures=2, reason="exit status 3")
    coordinator.tick()
    trial = coordinator.history.trials[coordinator.history.specs[spec].issue.trial]
    assert coordinator.history.state(trial) == "FAILED"
    assert trial.last.settled is not None and trial.last.settled.attempts == 2
    assert coordinator.history.rungs[0].loss(trial.number) == float("inf")


def test_a_failed_trial_is_retried_when_the_user_says_so() -> None:
    world = World("retry")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    worker.claim(spec)
    worker.fail(spec, {}, retries_left=0, failures=1)
    coordinator.tick()
    number = coordinator.history.specs[spec].issue.trial
    append_user_entry(coordinator.log, lambda _: (RetryTrial(trial=number, reason="user"),), never)
    coordinator.tick()
    assert coordinator.history.trials[number].open
    assert number not in coordinator.history.rungs[0]
    work_off(world, worker, coordinator)
    assert list(replay(world.study, entries(world))) == []


def test_a_spec_that_only_ever_kills_its_worker_is_given_up() -> None:
    world = World("poison", a_study(max_attempts=3))
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    for _ in range(3):
        assert worker.claim(spec)
        worker.release(spec)
    for _ in range(2):
        world.clock.sleep(10)
        coordinator.tick()
    settled = coordinator.history.specs[spec].settled
    assert settled is not None and settled.outcome == "fail" and "3 attempts" in settled.reason


def test_pause_issues_nothing_and_resume_goes_on() -> None:
    world = World("pause")
    coordinator = world.coordinator()
    append_user_entry(coordinator.log, lambda _: (Pause(reason="user"),), never)
    coordinator.tick()
    assert not coordinator.history.open and world.board().paused
    append_user_entry(coordinator.log, lambda _: (Resume(reason="user"),), never)
    coordinator.tick()
    assert coordinator.history.open and not world.board().paused


def test_a_finished_study_stops_what_is_open_and_goes_on_where_it_was_when_resumed() -> None:
    world = World("finish")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    running = next(iter(coordinator.history.open))
    worker.claim(running)
    append_user_entry(coordinator.log, lambda _: (Finish(reason="stopped by a user"),), never)
    for _ in range(2):
        ticked = coordinator.tick()
    assert ticked.closed
    assert read_chain(world.store, running)[-1].kind is LinkKind.STOP
    cut_short = coordinator.history.specs[running].issue.trial
    append_user_entry(coordinator.log, lambda _: (Resume(reason="user"),), never)
    work_off(world, HandWorker(world, "w-b"), coordinator)
    assert [s.settled.outcome for s in world.history().trials[cut_short].specs if s.settled][:2] == [
        "stop",
        "done",
    ]
    assert {world.history().state(t) for t in world.history().trials} <= {"COMPLETE", "PRUNED"}
    assert list(replay(world.study, entries(world))) == []


def test_a_tick_that_finishes_the_study_settles_what_is_open_too() -> None:
    world = World("last-tick", a_study(limits=Limits(trials=6, target=0.5)))
    coordinator, worker = world.coordinator(one_shot=True), HandWorker(world, "w-a")
    worker.beat()
    coordinator.tick()
    measured, running = list(coordinator.history.open)[:2]
    worker.claim(running)
    worker.claim(measured)
    worker.done(measured, {1: 0.1})
    ticked = world.coordinator(one_shot=True).tick()
    assert ticked.closed, "workers end when the board says finished: then nobody may be left to tick again"
    assert read_chain(world.store, running)[-1].kind is LinkKind.STOP
    assert world.board().finished is not None


def test_a_stop_that_loses_to_its_holders_link_is_written_behind_it() -> None:
    world = World("stop-loses")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    running = next(iter(coordinator.history.open))
    worker.claim(running)
    append_user_entry(coordinator.log, lambda _: (Finish(reason="user"),), never)
    world.store = JustBefore(world.store, link_key(LinkId(running, 2)), lambda: worker.release(running))
    late = world.coordinator()
    assert late.tick().closed
    assert [link.kind for link in read_chain(world.store, running)][1:] == [LinkKind.RELEASE, LinkKind.STOP]


def test_a_stopped_trial_is_stopped_in_its_chain_and_not_issued_again() -> None:
    world = World("stop")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open.values()))
    worker.claim(spec.id)
    append_user_entry(coordinator.log, lambda _: (StopTrial(trial=spec.issue.trial, reason="user"),), never)
    for _ in range(2):
        coordinator.tick()
    assert read_chain(world.store, spec.id)[-1].kind is LinkKind.STOP
    assert coordinator.history.state(coordinator.history.trials[spec.issue.trial]) == "PRUNED"
    work_off(world, worker, coordinator)
    assert len(world.history().trials[spec.issue.trial].specs) == 1


@pytest.mark.parametrize(
    "data",
    [b"PAR1 something else", write_segment([Row(resource=1, metric="loss", value=0.0, at=0.0)])],
    ids=["torn", "another's"],
)
def test_a_named_segment_that_is_damaged_is_refused_by_name(data: bytes) -> None:
    world = World(f"damage-{len(data)}")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    worker.claim(spec)
    worker.done(spec, {1: 0.3})
    key = segment_key(SegmentId(spec, 1, 1))
    world.store.replace(key, data)
    with pytest.raises(DamagedRecord, match=key):
        coordinator.tick()


def test_an_older_board_that_another_coordinator_put_up_is_written_anew() -> None:
    world = World("board")
    coordinator = world.coordinator()
    coordinator.tick()
    good = world.board()
    world.clock.sleep(1)
    coordinator.tick()  # it has seen its own board again
    world.store.replace(BOARD, Board(head=-1, open=()).to_bytes())
    world.clock.sleep(1)
    coordinator.tick()
    assert world.board().open == good.open
    world.store.replace(BOARD, b"{ torn")
    world.clock.sleep(1)
    coordinator.tick()
    assert world.board().open == good.open


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(target=0.15), "target"),
        (Limits(wall_s=3.0), "wall"),
        (Limits(trials=500, gpu_hours=20 / 3600), "GPU"),
    ],
)
def test_limits_end_the_study(limits: Limits, word: str) -> None:
    world = World(f"limit-{word}", a_study(limits=limits))
    coordinator = world.coordinator()
    work_off(world, HandWorker(world, "w-a"), coordinator)
    assert word.lower() in str(world.history().finished).lower()


def test_the_log_is_packed_and_read_back_from_packs() -> None:
    world = World("packs", a_study(limits=Limits(trials=150), resource=None, scheduler={"name": "none"}))
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a", slots=1)
    for _ in range(1000):
        world.clock.sleep(1)
        if coordinator.tick().closed:
            break
        for spec in list(coordinator.history.open)[:1]:
            if worker.claim(spec):
                worker.done(spec, {1: 0.5})
    packs = [stat.key for stat in world.store.list("snapshots/")]
    assert packs[:2] == ["snapshots/00000063.parquet", "snapshots/00000127.parquet"]
    versions = [stat.version for stat in world.store.list("snapshots/")]
    coordinator.tick()
    assert [stat.version for stat in world.store.list("snapshots/")] == versions
    for number in range(127):  # the last one shows that the pack is of this log
        world.store.delete(log_key(number))  # only to prove that a cold start does not read them
    assert world.history().head == coordinator.history.head


def test_a_spec_id_names_the_entry_that_issued_it() -> None:
    world = World("ids")
    coordinator = world.coordinator()
    coordinator.tick()
    assert list(coordinator.history.open) == [SpecId(0, i) for i in range(len(coordinator.history.open))]


class FailsOnce:
    """A store that is away for one `get` of a key with this beginning."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = ""

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        if self.away and key.startswith(self.away):
            self.away = ""
            raise StoreUnavailable(f"get {key}: no answer")
        return self._store.get(key, unless)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("away", ["chain/", "workers/w-b"])
def test_a_tick_that_failed_halfway_left_nothing_unread(away: str) -> None:
    world = World(f"halfway-{away[:4]}")
    world.store = store = FailsOnce(world.store)
    coordinator, worker = world.coordinator(), HandWorker(world, "w-a")
    coordinator.tick()
    spec = next(iter(coordinator.history.open))
    worker.claim(spec)
    worker.done(spec, {1: 0.5})
    HandWorker(world, "w-b").beat()
    store.away = away
    with pytest.raises(StoreUnavailable):
        coordinator.tick()
    coordinator.tick()  # at once: not only when it sweeps over all chains again
    assert coordinator.history.specs[spec].settled is not None
