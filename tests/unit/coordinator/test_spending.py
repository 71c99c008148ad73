"""A study's budget: what a coordinator records of money, and that the study ends by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo_pipe.coordinator.spending import dollars, held_s
from hpo_pipe.replay import replay
from storage_schema.keys import LinkId, SpecId, log_key
from storage_schema.records import Entry, Limits, Link, LinkKind, Resource, SettledSpec
from storage_schema.store import Blob
from tests.unit.coordinator.world import HandWorker, World, a_study

MACHINE = (("price_per_hour", "3600.0"), ("slots", "4"))
"""A quarter of a dollar for a second of a slot."""
CLAIM = Link(kind=LinkKind.CLAIM, id=LinkId(SpecId(0, 0), 1), token="t", author="w-a", machine=MACHINE)


def hired(world: World, name: str) -> HandWorker:
    """Return a worker that says what its machine costs."""
    return HandWorker(world, name, machine=MACHINE)


def world(name: str, **limits: object) -> World:
    study = a_study(limits=Limits(**limits), scheduler={"name": "none"})  # type: ignore[arg-type]
    return World(name, replace(study, resource=Resource(name="epoch", min=9, max=9, rungs=(9,))), dated=True)


def entries(world: World) -> list[Entry]:
    found: list[Entry] = []
    while isinstance(blob := world.store.get(log_key(len(found))), Blob):
        found.append(Entry.from_bytes(blob.data, len(found)))
    return found


def settled(world: World) -> list[SettledSpec]:
    return [fact for entry in entries(world) if entry.facts for fact in entry.facts.settled]


@pytest.mark.parametrize(
    "machine", [(), (("slots", "4"),), (("price_per_hour", "1"),), (("price_per_hour", "x"),)]
)
def test_what_does_not_say_both_price_and_slots_is_not_guessed(machine: tuple[tuple[str, str], ...]) -> None:
    assert dollars(replace(CLAIM, machine=machine), 10.0) is None


def test_a_slot_costs_its_share_of_the_machine() -> None:
    assert dollars(CLAIM, 8.0) == 2.0
    assert dollars(CLAIM, -8.0) == 0.0
    assert dollars(CLAIM, 1e300) < 1e12  # what a stranger wrote must not overflow


def test_a_dead_holder_costs_nothing_more_after_its_last_sign_of_life() -> None:
    assert held_s(100.0, 160.0, 170.0, lease_s=40.0) == 70.0
    assert held_s(100.0, 160.0, 259_000.0, lease_s=40.0) == 60.0
    assert held_s(100.0, None, 120.0, lease_s=40.0) == 20.0
    assert held_s(100.0, None, 259_000.0, lease_s=40.0) == 0.0
    assert held_s(100.0, 60.0, 99.0, lease_s=40.0) == 0.0


def test_costs_are_recorded_with_and_without_a_budget_and_only_where_there_is_a_price() -> None:
    world_ = world("spending-recorded", trials=4)
    coordinator = world_.coordinator()
    bought, own = hired(world_, "w-hired"), HandWorker(world_, "w-own")
    coordinator.tick()
    first, second = (line.spec for line in world_.board().open)
    bought.claim(first)
    bought.release(first)
    own.claim(first)
    own.done(first, {9: 0.5})  # two seconds each, of one the price is known
    bought.claim(second)
    bought.done(second, {9: 0.5})
    coordinator.tick()
    one, two = settled(world_)
    assert (one.cost, one.priced, one.attempts, one.unpriced) == (0.0, 1, 2, 1)
    assert (two.cost, two.priced, two.unpriced) == (0.5, 1, 0)
    assert coordinator.history.cost == 0.5
    assert coordinator.history.unpriced == 1
    assert all(entry.facts is None or not entry.facts.open_cost for entry in entries(world_))
    assert not world_.board().budget
    assert world_.history().cost == 0.5


def test_a_study_ends_by_its_budget_while_its_trials_still_run() -> None:
    world_ = world("spending-budget", cost=20.0)
    coordinator, worker = world_.coordinator(), hired(world_, "w-a")
    coordinator.tick()
    assert world_.board().budget
    for line in world_.board().open:
        worker.claim(line.spec)
    claimed = len(worker._held)
    seconds = 0
    while not coordinator.tick().closed:
        world_.clock.sleep(1)
        seconds += 1
        worker.beat()
        assert seconds < 60
    assert seconds == pytest.approx(20.0 / 0.25 / claimed, abs=2)
    assert coordinator.history.finished is not None
    assert coordinator.history.finished.startswith("the budget of $20.00 was reached: training has cost $20.")
    assert sum(fact.cost for fact in settled(world_)) == pytest.approx(
        20.0, abs=0.5
    )  # what was stopped is paid
    assert list(replay(world_.study, entries(world_))) == []
    again = world_.history()
    assert (again.spent, again.unpriced) == (coordinator.history.spent, 0)


def test_another_coordinator_ends_it_by_the_same_budget() -> None:
    world_ = world("spending-one-shot", cost=1.0)
    worker = hired(world_, "w-a")
    world_.coordinator(one_shot=True).tick()
    first = world_.board().open[0].spec
    worker.claim(first)
    worker.done(first, {9: 0.5})
    world_.coordinator(one_shot=True).tick()
    assert world_.history().finished is None
    second = world_.board().open[0].spec
    worker.claim(second)
    worker.done(second, {9: 0.5})
    assert world_.coordinator(one_shot=True).tick().closed
    assert world_.history().spent == 1.0
    assert list(replay(world_.study, entries(world_))) == []


def test_a_fenced_attempt_costs_what_passed_until_its_last_heartbeat() -> None:
    world_ = world("spending-fenced", trials=2)
    coordinator, dead, alive = (
        world_.coordinator(),
        hired(world_, "w-dead"),
        HandWorker(world_, "w-live"),
    )
    coordinator.tick()
    spec = world_.board().open[0].spec
    dead.claim(spec)
    fenced: tuple[LinkId, ...] = ()
    for second in range(10, 120, 10):
        world_.clock.sleep(10)
        alive.beat()
        if second <= 30:
            dead.beat()
        fenced = fenced or coordinator.tick().fenced
    assert [link.spec for link in fenced] == [spec]
    alive.claim(spec)
    alive.done(spec, {9: 0.5})
    coordinator.tick()
    (fact,) = settled(world_)
    assert (fact.attempts, fact.priced) == (2, 1)
    assert (
        fact.cost < 0.25 * 40
    )  # the store's own clock stood nearly still: not the forty seconds of the lease


def test_a_coordinator_that_comes_days_later_counts_up_to_the_last_heartbeat_though_it_deletes_it() -> None:
    world_ = world("spending-weekend", trials=1)
    world_.coordinator(one_shot=True).tick()
    dead = hired(world_, "w-dead")
    spec = world_.board().open[0].spec
    dead.claim(spec)
    world_.clock.sleep(100)
    dead.beat()
    world_.clock.sleep(3 * 86_400)
    assert [link.spec for link in world_.coordinator(one_shot=True).tick().fenced] == [spec]
    assert list(world_.store.list("workers/w-")) == []
    alive = HandWorker(world_, "w-live")
    alive.claim(spec)
    alive.done(spec, {9: 0.5})
    world_.coordinator(one_shot=True).tick()
    (fact,) = settled(world_)
    assert (fact.cost, fact.priced, fact.attempts) == (25.0, 1, 2)
