"""As many workers as the study can use, whoever reconciles, and how often at once."""

from __future__ import annotations

import pytest

from hpo_pipe.coordinator.tick import Coordinator
from hpo_pipe.launch.desk import TAKE_OVER_S
from hpo_pipe.launch.order import Plan
from hpo_pipe.launch.reconcile import (
    FAILED_WITHIN_S,
    FIRST_PAUSE_S,
    MOST_PAUSE_S,
    UNSEEN_S,
    Bounds,
    Reconciler,
)
from hpo_pipe.launch.target import JobState, Refusal
from hpo_pipe.report.state import StudyWatch
from storage_schema.errors import UserError
from storage_schema.records import Limits, Pause
from tests.unit.coordinator.world import HandWorker, World, a_study, never
from tests.unit.launch.cloud import Cloud, Crash, a_desk, a_plan


class Scene:
    """A study whose queue is 10 deep, a cloud, and launchers."""

    def __init__(self, name: str, *, plan: Plan | None = None, most: int = 8, least: int = 0) -> None:
        self.world = World(name, a_study(limits=Limits(trials=10)), dated=True)
        self.cloud = Cloud()
        self.bounds = Bounds(least=least, most=most)
        self.coordinator: Coordinator = self.world.coordinator()
        self.crowd = HandWorker(self.world, "w-crowd", slots=10)
        self.crowd.beat()
        self.coordinator.tick()
        self.world.store.delete("workers/w-crowd.json")
        desk = a_desk(self.world, seed=99)
        desk.place(self.cloud, plan or a_plan(self.world), {"types": ["a", "b"]}, 0, insist=True)

    def reconciler(self, seed: int = 1) -> Reconciler:
        watch = StudyWatch(self.world.store)
        return Reconciler(
            a_desk(self.world, seed=seed),
            lambda: watch.look(self.world.clock.now()),
            lambda name: self.cloud,
            self.bounds,
        )


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.node.name)


def test_a_gap_is_filled_once(scene: Scene) -> None:
    one = scene.reconciler()
    first = one.run()
    assert (first.wanted, first.alive, first.started) == (8, 0, 8)
    for found in (one.run(), scene.reconciler(2).run()):
        assert (found.wanted, found.alive, found.started) == (8, 8, 0)
    assert len(cloud_alive(scene)) == 8


def cloud_alive(scene: Scene) -> list[str]:
    return [machine.id for machine in scene.cloud.alive()]


@pytest.mark.parametrize("slots", [1, 3, 100])
def test_a_worker_counts_for_as_many_trials_as_it_has_slots(
    request: pytest.FixtureRequest, slots: int
) -> None:
    scene = Scene(request.node.name, most=50)
    scene = Scene(f"{request.node.name}-", plan=a_plan(scene.world, slots=slots), most=50)
    depth = len(scene.world.history().open)
    assert scene.reconciler().run().started == -(-depth // slots)


def test_two_who_see_the_same_gap_fill_it_once(scene: Scene) -> None:
    """The second one acts between the first one's look and its submission."""
    first, second = scene.reconciler(1), scene.reconciler(2)
    look, acted = first._look, []

    def looked() -> object:
        state = look()
        if not acted:
            acted.append(second.run())
        return state

    first._look = looked  # type: ignore[assignment]
    found = first.run()
    assert acted[0].started == 8 and found.started == 0 and found.alive == 8
    assert len(cloud_alive(scene)) == 8


def test_a_submission_under_way_counts(scene: Scene) -> None:
    scene.cloud.crash = "before"
    with pytest.raises(Crash):
        scene.reconciler(1).run()
    scene.cloud.crash = ""
    assert scene.reconciler(2).run().started == 0
    scene.world.clock.sleep(TAKE_OVER_S)
    scene.reconciler(3).run()
    assert len(cloud_alive(scene)) == 8


def test_workers_started_by_hand_count(scene: Scene) -> None:
    for number in range(3):
        HandWorker(scene.world, f"w-{number}").beat()
    found = scene.reconciler().run()
    assert (found.foreign, found.started) == (3, 5)


def test_a_workers_heartbeat_is_not_counted_beside_its_job(scene: Scene) -> None:
    scene.reconciler().run()
    for number in range(8):
        HandWorker(scene.world, f"w-{number}", machine=(("submission", "2"),)).beat()
    found = scene.reconciler(2).run()
    assert (found.foreign, found.alive) == (0, 8)


def test_what_ended_is_topped_up(scene: Scene) -> None:
    scene.reconciler().run()
    for machine in list(scene.cloud.alive())[:3]:
        machine.state = JobState.FAILED
    found = scene.reconciler(2).run()
    assert (found.alive, found.started) == (5, 3)


def test_a_provider_that_cannot_be_asked_is_given_time(scene: Scene) -> None:
    scene.reconciler().run()
    scene.cloud.away = "denied"
    assert scene.reconciler(2).run().alive == 8
    scene.world.clock.sleep(UNSEEN_S)
    found = scene.reconciler(3).run()
    assert found.alive == 0 and any("denied" in note for note in found.notes)


def test_the_least_and_the_most_bind(request: pytest.FixtureRequest) -> None:
    scene = Scene(request.node.name, plan=None, most=40, least=30)
    assert scene.reconciler().run().started == 30
    scene.bounds = Bounds(least=0, most=0)
    found = scene.reconciler(2).run()
    assert found.wanted == 0 and found.cancelled == 30 and not cloud_alive(scene)


def test_only_what_waits_is_cancelled(scene: Scene) -> None:
    scene.reconciler().run()
    running = scene.cloud.alive()[:5]
    for machine in running:
        machine.state = JobState.RUNNING
    scene.bounds = Bounds(most=2)
    scene.reconciler(2).run()
    assert [m.state for m in running] == [JobState.RUNNING] * 5
    assert len(cloud_alive(scene)) == 5


def test_a_study_that_has_ended_wants_nobody(scene: Scene) -> None:
    scene.reconciler().run()
    stop(scene)
    found = scene.reconciler(2).run()
    assert found.wanted == 0 and not cloud_alive(scene)


def test_a_dead_launchers_request_is_withdrawn_when_the_study_has_ended(scene: Scene) -> None:
    scene.cloud.crash = "after"
    with pytest.raises(Crash):
        scene.reconciler(1).run()
    scene.cloud.crash = ""
    stop(scene)
    scene.world.clock.sleep(TAKE_OVER_S)
    scene.reconciler(2).run()
    assert not cloud_alive(scene)


def test_a_paused_study_keeps_what_runs(scene: Scene) -> None:
    from hpo_pipe.coordinator.append import append_user_entry

    append_user_entry(scene.coordinator.log, lambda _: (Pause(reason="lunch"),), never)
    assert scene.reconciler().run().wanted == 0


def test_nobody_said_what_workers_are_like(request: pytest.FixtureRequest) -> None:
    world = World(request.node.name, dated=True)
    watch = StudyWatch(world.store)
    made = Reconciler(a_desk(world), lambda: watch.look(0.0), lambda name: Cloud(), Bounds(most=1))
    with pytest.raises(UserError, match="--workers 0"):
        made.run()


def test_refusals_are_asked_again_later_and_later(scene: Scene) -> None:
    scene.cloud.refuses = lambda order: (0, Refusal.CAPACITY)
    made, pauses = scene.reconciler(), []
    for _ in range(9):
        assert made.run().started == 0
        found = made.run()
        assert found.wait_s > 0
        pauses.append(found.wait_s)
        scene.world.clock.sleep(found.wait_s)
    assert pauses[:3] == pytest.approx([FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
    assert pauses[-1] == pytest.approx(MOST_PAUSE_S)
    assert len(scene.cloud.asked) == 2 * 9  # each round asks for both types
    scene.cloud.refuses = lambda order: (order.workers, None)
    scene.world.clock.sleep(MOST_PAUSE_S)
    assert made.run().started == 8


def test_workers_that_all_fail_at_once_are_started_again_later_and_later(scene: Scene) -> None:
    """A wrong image or a missing right would else be paid for again with every round."""
    made, pauses = scene.reconciler(), []
    for number in range(2, 11):
        assert made.run().started == 8
        for machine in scene.cloud.alive():
            machine.state = JobState.FAILED
        found = made.run()
        assert (found.started, found.alive) == (0, 0)
        assert f"submission {number}: 8 of 8 failed; see hpo-pipe submit logs" in " ".join(found.notes)
        pauses.append(found.wait_s)
        scene.world.clock.sleep(found.wait_s)
    assert pauses[:3] == pytest.approx([FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
    assert pauses[-1] == pytest.approx(MOST_PAUSE_S)
    assert made.run().started == 8
    for machine in scene.cloud.alive()[1:]:
        machine.state = JobState.FAILED
    assert made.run().started == 7, "one of them works"


def test_workers_that_fail_after_a_long_time_are_replaced_at_once(scene: Scene) -> None:
    made = scene.reconciler()
    made.run()
    scene.world.clock.sleep(FAILED_WITHIN_S)
    for machine in scene.cloud.alive():
        machine.state = JobState.FAILED
    assert made.run().started == 8


def test_workers_that_had_nothing_to_do_are_no_failure(scene: Scene) -> None:
    made = scene.reconciler()
    made.run()
    for machine in scene.cloud.alive():
        machine.state = JobState.DONE
    assert made.run().started == 8


def stop(scene: Scene) -> None:
    from hpo_pipe.coordinator.append import append_user_entry
    from storage_schema.records import Finish

    append_user_entry(scene.coordinator.log, lambda _: (Finish(reason="enough"),), never)
