"""Who is fenced, and who never is."""

from __future__ import annotations

from dataclasses import replace

from hpo_pipe.coordinator.presence import Claim, Presence, list_workers
from storage_schema.keys import LinkId, SpecId, worker_key
from storage_schema.records import Heartbeat, Held
from storage_schema.store import Store, open_store

LEASE_S = 40.0


class World:
    """A store with heartbeats, and an observer with a clock of its own."""

    def __init__(self, name: str) -> None:
        self.store: Store = open_store(f"memory://presence-{name}")
        self.presence = Presence(self.store, LEASE_S)
        self.now = 1000.0
        self._beats = 0

    def beat(self, worker: str, *held: Claim, slots: int = 1) -> None:
        self._beats += 1
        holding = tuple(Held(spec=c.id.spec, attempt=c.id.link, trial=0) for c in held)
        heartbeat = Heartbeat(
            worker=worker,
            role="worker",
            host="h",
            pid=1,
            beat=self._beats,
            started_at=0,
            slots=slots,
            holding=holding,
        )
        self.store.replace(worker_key(worker), heartbeat.to_bytes())

    def look(self, *claims: Claim, after_s: float = 0.0) -> list[LinkId]:
        """Let time pass, list, and answer which claims are expired."""
        self.now += after_s
        self.presence.look(self.now, self.now, list_workers(self.store))
        return [c.id for c in self.presence.expired(list(claims), self.now, self.now)]


def claim(number: int, worker: str) -> Claim:
    return Claim(id=LinkId(SpecId(0, number), 1), worker=worker, modified=0.0)


def steps(world: World, *claims: Claim, seconds: float) -> list[LinkId]:
    """Look every 10 s for `seconds`; answer what the last look found expired."""
    found: list[LinkId] = []
    for _ in range(int(seconds // 10)):
        found = world.look(*claims, after_s=10)
    return found


def test_a_holder_whose_heartbeat_stands_still_for_the_lease_is_expired() -> None:
    world, held = World("still"), claim(0, "w-a")
    world.beat("w-a", held)
    assert world.look(held) == []
    assert steps(world, held, seconds=30) == []
    assert steps(world, held, seconds=10) == [held.id]


def test_a_holder_that_beats_is_never_expired() -> None:
    world, held = World("beats"), claim(0, "w-a")
    for _ in range(20):
        world.beat("w-a", held)
        assert world.look(held, after_s=10) == []


def test_a_claim_counts_from_when_it_was_read_and_not_from_the_listing_before() -> None:
    world, young = World("young"), claim(0, "w-a")
    listed, read = 1000.0, 1005.0
    world.presence.look(listed, listed, list_workers(world.store))
    assert world.presence.expired([young], listed, read) == []
    found = {}
    for late_s in (30.0, 15.0, 1.0, 0.0):  # often enough not to be taken for a pause of the observer's own
        now = read + LEASE_S - late_s
        world.presence.look(now, now, list_workers(world.store))
        found[late_s] = world.presence.expired([young], now, now)
    assert found == {30.0: [], 15.0: [], 1.0: [], 0.0: [young]}


def test_a_one_shot_tick_knows_that_reads_tell_whole_seconds() -> None:
    world = World("coarse")
    world.beat("c-own")
    world.look()
    mine = world.presence.seen["c-own"].modified
    for created, expired in ((mine - LEASE_S - 2.0, True), (mine - LEASE_S - 0.5, False)):
        read = replace(claim(0, "w-dead"), modified=created)
        assert bool(world.presence.expired_once([read], "c-own")) is expired


def test_a_claim_without_any_heartbeat_expires_after_the_lease() -> None:
    world, silent = World("silent"), claim(0, "w-dead")
    assert world.look(silent) == []
    assert steps(world, silent, seconds=40) == [silent.id]


def test_a_living_worker_that_does_not_know_of_its_claim_loses_it() -> None:
    """The claim landed after its author had given up on it."""
    world, late = World("late"), claim(0, "w-a")
    expired: list[LinkId] = []
    for _ in range(5):
        world.beat("w-a")
        expired = world.look(late, after_s=10)
    assert expired == [late.id]


def test_an_observer_that_was_paused_itself_judges_nobody_at_once() -> None:
    world, held = World("paused"), claim(0, "w-a")
    world.beat("w-a", held)
    world.look(held)
    assert world.look(held, after_s=3600) == []  # both may have slept: the machine was suspended
    world.beat("w-a", held)
    assert steps(world, held, seconds=20) == []


def test_an_observer_that_was_paused_still_finds_the_dead_afterwards() -> None:
    world, held = World("paused-dead"), claim(0, "w-a")
    world.beat("w-a", held)
    world.look(held)
    world.look(held, after_s=3600)
    assert steps(world, held, seconds=30) == [held.id]


def test_an_observer_that_is_always_slow_finds_the_dead_too() -> None:
    """Its looks are further apart than half a lease: each of them resembles the end of a pause."""
    world, held = World("slow"), claim(0, "w-a")
    world.beat("w-a", held)
    world.look(held)
    found: list[LinkId] = []
    for _ in range(5):
        found += world.look(held, after_s=0.6 * LEASE_S)
    assert held.id in found


def test_when_most_vanish_at_once_nobody_is_fenced_for_another_lease() -> None:
    world = World("brown-out")
    claims = [claim(i, f"w-{i}") for i in range(5)]
    for held in claims:
        world.beat(held.worker, held)
    assert world.look(*claims) == []
    assert steps(world, *claims, seconds=70) == []
    for held in claims:  # the store is well again
        world.beat(held.worker, held)
    assert steps(world, *claims, seconds=30) == []


def test_when_most_stay_away_they_are_fenced_in_the_end() -> None:
    world = World("all-dead")
    claims = [claim(i, f"w-{i}") for i in range(5)]
    for held in claims:
        world.beat(held.worker, held)
    world.look(*claims)
    assert sorted(steps(world, *claims, seconds=90)) == [c.id for c in claims]


def test_more_closed_chains_than_a_heartbeat_can_name_are_noticed_once() -> None:
    world = World("missed")
    quick = Heartbeat(
        worker="w-a",
        role="worker",
        host="h",
        pid=1,
        beat=1,
        started_at=0,
        slots=1,
        closed=70,
        recent=tuple(SpecId(1, number) for number in range(64)),
    )
    world.store.replace(worker_key("w-a"), quick.to_bytes())
    world.look()
    assert world.presence.missed
    world.presence.followed()
    assert not world.presence.missed
    world.store.replace(worker_key("w-a"), replace(quick, beat=2, closed=134).to_bytes())
    world.look(after_s=1)
    assert not world.presence.missed


def test_only_live_workers_slots_count() -> None:
    world = World("slots")
    world.beat("w-a", slots=4)
    world.look()
    assert world.presence.slots(world.now, "c-x") == 4
    world.look(after_s=LEASE_S + 1)
    assert world.presence.slots(world.now, "c-x") == 0


def test_very_old_heartbeats_are_deleted() -> None:
    world = World("forget")
    world.beat("w-a")
    world.look()
    world.presence.forget(world.now + 21 * LEASE_S, "c-x")
    assert list_workers(world.store) == []


def test_an_unreadable_heartbeat_holds_nothing_and_harms_nothing() -> None:
    world, held = World("garbage"), claim(0, "w-a")
    world.store.replace(worker_key("w-a"), b"\xff\x00 not json")
    assert world.look(held) == []
    assert steps(world, held, seconds=40) == [held.id]
