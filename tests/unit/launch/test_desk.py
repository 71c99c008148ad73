"""A submission is recorded before the provider is asked, and whatever dies or races, nothing is started twice."""

from __future__ import annotations

import pytest

from hpo_pipe.launch.desk import ASK_WITHIN_S, TAKE_OVER_S, Desk, Placed
from hpo_pipe.launch.submissions import RECENT
from hpo_pipe.launch.target import JobState, Refusal, Target
from storage_schema.errors import DamagedRecord
from storage_schema.keys import submission_key
from storage_schema.records import StepKind
from tests.unit.coordinator.world import World
from tests.unit.launch.cloud import Cloud, Crash, a_desk, a_plan


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    return World(request.node.name, dated=True)


def place(desk: Desk, cloud: Target, world: World, workers: int = 2, **plan: object) -> Placed:
    settings = {"types": plan.pop("types", ["a"])}
    desk.submissions.refresh()
    return desk.place(cloud, a_plan(world, **plan), settings, workers, insist=True)


def test_a_submission_stands_before_the_provider_is_asked(world: World) -> None:
    cloud, desk = Cloud(), a_desk(world)
    there: list[int] = []
    cloud.during = lambda: there.extend(1 for _ in world.store.list("submissions/"))
    placed = place(desk, cloud, world)
    assert there == [1]
    assert placed.workers == 2 and [known.kind for known in placed.submissions] == [StepKind.STARTED]
    again = a_desk(world, seed=1)
    again.submissions.refresh()
    assert [(k.number, k.workers, len(k.jobs)) for k in again.submissions.all()] == [(1, 2, 2)]


def test_two_launchers_have_numbers_of_their_own(world: World) -> None:
    cloud, one, two = Cloud(), a_desk(world, seed=1), a_desk(world, seed=2)
    for desk in (one, two):
        desk.submissions.refresh()
    place(one, cloud, world)
    assert place(two, cloud, world).submissions[0].number == 2
    assert len(cloud.alive()) == 4


def test_who_does_not_insist_looks_again(world: World) -> None:
    cloud, one, two = Cloud(), a_desk(world, seed=1), a_desk(world, seed=2)
    two.submissions.refresh()
    place(one, cloud, world)
    lost = two.place(cloud, a_plan(world), {}, 2, insist=False)
    assert lost.lost and not lost.submissions and len(cloud.alive()) == 2
    two.submissions.refresh()
    assert not two.place(cloud, a_plan(world), {}, 2, insist=False).lost


@pytest.mark.parametrize("crash", ["before", "after"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_dead_launchers_submission_is_taken_over_once(world: World, crash: str, wanted: bool) -> None:
    cloud, dead, alive = Cloud(), a_desk(world, seed=1), a_desk(world, seed=2)
    cloud.crash = crash
    with pytest.raises(Crash):
        place(dead, cloud, world)
    cloud.crash = ""
    alive.submissions.refresh()
    (known,) = alive.submissions.open()
    assert known.unsettled and not alive.silent(known)
    world.clock.sleep(TAKE_OVER_S)
    assert alive.silent(known)
    alive.take_over(cloud, known, wanted=wanted)
    assert len(cloud.alive()) == (2 if wanted else 0)
    assert len(cloud.asked) <= 1
    assert known.kind is (StepKind.STARTED if wanted else StepKind.CANCELLED)


def test_of_two_who_take_over_one_does(world: World) -> None:
    cloud, dead = Cloud(repeats_safely=False), a_desk(world, seed=1)
    cloud.crash = "before"
    with pytest.raises(Crash):
        place(dead, cloud, world)
    cloud.crash = ""
    world.clock.sleep(TAKE_OVER_S)
    rivals = [a_desk(world, seed=seed) for seed in (2, 3)]
    for rival in rivals:
        rival.submissions.refresh()
    taken = [rival.take_over(cloud, rival.submissions.open()[0], wanted=True) for rival in rivals]
    assert [launched is None for launched in taken] == [False, True]
    assert len(cloud.alive()) == 2 and len(cloud.asked) == 1


def test_who_finds_itself_taken_over_takes_its_own_back(world: World) -> None:
    """The first launcher was frozen in the middle of its request, to a provider without unique names."""
    cloud, frozen, other = Cloud(repeats_safely=False), a_desk(world, seed=1), a_desk(world, seed=2)

    def meanwhile() -> None:
        cloud.during = lambda: None
        world.clock.sleep(TAKE_OVER_S)
        other.submissions.refresh()
        other.take_over(cloud, other.submissions.open()[0], wanted=True)

    cloud.during = meanwhile
    placed = place(frozen, cloud, world)
    assert placed.workers == 0 and placed.unknown
    assert len(cloud.asked) == 2 and len(cloud.alive()) == 2
    assert len({machine.id for machine in cloud.alive()} & set(other.submissions.all()[0].jobs)) == 2


def test_who_comes_too_late_does_not_ask(world: World) -> None:
    cloud, desk = Cloud(), a_desk(world)
    reserve = desk.submissions.reserve

    def slow(*arguments: object) -> object:
        world.clock.sleep(ASK_WITHIN_S + 1)
        return reserve(*arguments)  # type: ignore[arg-type]

    desk.submissions.reserve = slow  # type: ignore[method-assign,assignment]
    placed = place(desk, cloud, world)
    assert placed.workers == 0 and placed.unknown
    assert cloud.asked == []


def test_refusals_go_on_to_the_next_offer(world: World) -> None:
    cloud, desk = Cloud(), a_desk(world)
    gives = {"a spot": (1, Refusal.QUOTA), "b spot": (0, Refusal.CAPACITY), "a on-demand": (2, Refusal.QUOTA)}
    cloud.refuses = lambda order: gives.get(str(order.offer), (order.workers, None))
    placed = place(desk, cloud, world, 5, types=["a", "b"], hiring="spot-then-on-demand")
    assert [(offer, workers) for _, offer, workers in cloud.asked] == [
        ("a spot", 5),
        ("b spot", 4),
        ("a on-demand", 4),
        ("b on-demand", 2),
    ]
    assert placed.workers == 5 and placed.hopeless is None
    assert [k.kind for k in placed.submissions] == ["started", "refused", "started", "started"]


@pytest.mark.parametrize("refusal", [Refusal.THROTTLED, Refusal.DENIED, Refusal.INVALID])
def test_other_refusals_end_the_round(world: World, refusal: Refusal) -> None:
    cloud, desk = Cloud(), a_desk(world)
    cloud.refuses = lambda order: (0, refusal)
    placed = place(desk, cloud, world, types=["a", "b"])
    assert len(cloud.asked) == 1 and placed.workers == 0
    assert (placed.hopeless is None) == (refusal is Refusal.THROTTLED)


def test_a_provider_that_is_away_leaves_the_submission_open(world: World) -> None:
    cloud, desk = Cloud(), a_desk(world)
    cloud.away = "no route"
    placed = place(desk, cloud, world, types=["a", "b"])
    assert placed.unknown == "no route" and [known.unsettled for known in placed.submissions] == [True]


def test_when_all_jobs_have_ended_the_submission_has(world: World) -> None:
    cloud, desk = Cloud(), a_desk(world)
    (known,) = place(desk, cloud, world).submissions
    assert desk.look(cloud, known).alive == 2 and not known.over
    for machine in cloud.machines.values():
        machine.state = JobState.DONE
    desk.look(cloud, known)
    assert known.kind is StepKind.ENDED and known.over


def test_a_refresh_reads_only_what_is_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, desk = Cloud(), a_desk(world)
    for _ in range(30):
        (known,) = place(desk, cloud, world).submissions
        desk.cancel(cloud, known)
    read: list[str] = []
    get = world.store.get
    monkeypatch.setattr(world.store, "get", lambda key, unless=None: read.append(key) or get(key, unless))
    place(a_desk(world, seed=9), cloud, world)
    read.clear()
    desk.submissions.refresh()
    assert read == [submission_key(31, 1), submission_key(31, 2)]


def test_a_plan_that_cannot_be_read_is_named(world: World) -> None:
    desk = a_desk(world)
    place(desk, Cloud(), world)
    data = world.store.get(submission_key(1, 1)).data  # type: ignore[union-attr]
    world.store.replace(
        submission_key(1, 1), data.replace(b'"slots":1', b'"slats":1').split(b',"check"')[0] + b"}"
    )
    with pytest.raises(DamagedRecord, match=r"submissions/00000001\.0001\.json: its plan"):
        a_desk(world, seed=4).submissions.refresh()


def test_who_begins_reads_what_is_open_and_the_newest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, desk = Cloud(), a_desk(world)
    for number in range(1, 3 * RECENT):
        (known,) = place(desk, cloud, world).submissions
        if number != RECENT + 5:
            desk.cancel(cloud, known)
    read: list[str] = []
    get = world.store.get
    monkeypatch.setattr(world.store, "get", lambda key, unless=None: read.append(key) or get(key, unless))
    began = a_desk(world, seed=9)
    began.submissions.refresh()
    numbers = [known.number for known in began.submissions.all()]
    assert numbers == list(range(RECENT + 5, 3 * RECENT))
    assert len(read) == 3 * len(numbers) - 1, "three steps of each, and the open one's two"
    assert [known.number for known in began.submissions.open()] == [RECENT + 5]
    began.submissions.refresh(all_of_them=True)
    assert [known.number for known in began.submissions.all()] == list(range(1, 3 * RECENT))
