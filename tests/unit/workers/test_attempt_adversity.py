"""An attempt that is fenced, stopped, interrupted or frozen, or whose store is away."""

from __future__ import annotations

import pytest

from storage_schema.keys import manifest_key
from storage_schema.records import LinkKind
from storage_schema.store import Created
from storage_schema.trial_env import INTERRUPT, STOP
from tests.unit.workers.stage import OK, FakeTrial, Stage, Steps, checkpoint, exactly, failed, issue, trains
from workers.closing import MAX_UNASKED


def test_a_fence_between_two_flushes_kills_the_trial_and_nothing_more_is_written(stage: Stage) -> None:
    stage.publish(issue(to=9))

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        yield None
        stage.fence()
        stage.store.writes.clear()
        trial.report(2, loss=0.5)
        trial.save(2)
        stage.clock.sleep(stage.study.timing.flush_s)
        while True:
            yield None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.killed
    assert stage.store.writes == []
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.FENCE]


def test_a_stopped_trial_is_told_before_it_is_killed(stage: Stage) -> None:
    stage.publish(issue(to=9))

    def script(trial: FakeTrial) -> Steps:
        yield None
        stage.link(2, LinkKind.STOP, author="c-other-1", reason="rank 9 of 9")
        stage.clock.sleep(stage.study.timing.flush_s)
        while not trial.asked:
            yield None
        yield OK

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.asked == [STOP]
    assert not trial.terminated
    assert any("rank 9 of 9" in line for line in stage.said)


def test_a_done_that_a_fence_has_beaten_leaves_nothing_in_the_record(stage: Stage) -> None:
    stage.publish(issue())

    def script(trial: FakeTrial) -> Steps:
        for epoch in (1, 2, 3):
            trial.report(epoch, loss=1 / epoch)
        trial.save(3)
        yield None
        stage.fence()
        yield OK

    stage.attempt(script)
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.FENCE]
    stage.lease.step()
    assert stage.heartbeat()["recent"] == []
    assert any("dropped: fence" in line for line in stage.said)


def test_lost_answers_on_every_create_change_nothing(stage: Stage) -> None:
    stage.publish(issue())
    stage.store.lose_answers = 100
    stage.attempt(trains(3, save=True))
    _claim, done = stage.chain()
    assert done.kind is LinkKind.DONE
    assert stage.curve(done) == {"loss": exactly(range(1, 4))}


def test_an_interrupted_trial_saves_and_its_claim_is_given_back(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        yield None
        stage.interruption.request("SIGTERM")
        yield None
        assert trial.asked == [INTERRUPT]
        trial.report(2, loss=0.5)
        trial.save(2)
        yield failed(75)

    stage.attempt(script)
    release = stage.chain()[-1]
    assert (release.kind, release.failures, release.resource) == (LinkKind.RELEASE, 0, 2)
    assert release.opens
    assert manifest_key(checkpoint(2)) in stage.keys("checkpoints/")

    other = Stage(stage.folder / "other", store=stage.store, seed=7)
    other.reoffer(spec)
    trial = other.attempt(trains(9))
    assert trial is not None
    assert trial.file.start == 2
    assert other.curve(other.chain()[-1]) == {"loss": exactly(range(1, 10))}


def test_a_trial_that_does_not_listen_is_terminated_and_then_killed(stage: Stage) -> None:
    stage.publish(issue(to=9))
    heard: list[tuple[float, str]] = []

    def script(trial: FakeTrial) -> Steps:
        stage.interruption.request("SIGTERM")
        began = stage.clock.time
        while True:
            if trial.terminated and len(heard) == 0:
                heard.append((stage.clock.time - began, "terminated"))
            yield None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.killed
    assert heard[0][0] == pytest.approx(stage.study.timing.grace_s / 2, abs=0.3)
    assert stage.chain()[-1].kind is LinkKind.RELEASE


def test_an_interrupted_trial_that_had_just_finished_is_done(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        stage.interruption.request("SIGTERM")
        yield None
        yield from trains(3)(trial)

    stage.attempt(script)
    assert stage.chain()[-1].kind is LinkKind.DONE


def test_exits_with_75_that_nobody_asked_for_end_as_a_failure(stage: Stage) -> None:
    spec = issue()
    stage.publish(spec)
    for _ in range(MAX_UNASKED):
        stage.attempt(trains(0, end=failed(75)))
        stage.reoffer(spec)
    kinds = [link.kind for link in stage.chain()[1::2]]
    assert kinds == [LinkKind.RELEASE] * (MAX_UNASKED - 1) + [LinkKind.FAIL]


def test_while_the_store_is_away_training_goes_on_and_nothing_is_lost(stage: Stage) -> None:
    stage.publish(issue(to=9))

    def script(trial: FakeTrial) -> Steps:
        stage.lease.step()
        for epoch in range(1, 10):
            trial.report(epoch, loss=1 / epoch)
            trial.save(epoch)
            stage.store.down = 3 <= epoch < 6
            stage.clock.sleep(9.0)
            for _ in range(5):
                stage.lease.step()
                yield None
        yield OK

    trial = stage.attempt(script)
    assert trial is not None
    assert not trial.killed
    done = stage.chain()[-1]
    assert stage.curve(done) == {"loss": exactly(range(1, 10))}
    assert done.checkpoint is not None
    assert done.checkpoint.resource == 9
    assert any(line.startswith("waiting: the store is away") for line in stage.said)


def test_a_store_that_is_away_for_a_lease_ends_the_attempt_and_nothing_is_written(stage: Stage) -> None:
    stage.publish(issue(to=9))
    before = stage.lease.worker

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        stage.lease.step()
        yield None
        stage.store.down = True
        stage.store.writes.clear()
        while True:
            stage.lease.step()
            yield None

    began = stage.clock.time
    trial = stage.attempt(script)
    assert trial is not None
    assert trial.killed
    assert stage.study.timing.lease_s <= stage.clock.time - began < 2 * stage.study.timing.lease_s
    assert stage.store.writes == []
    assert stage.lease.worker != before
    stage.store.down = False
    stage.clock.sleep(20.0)
    stage.lease.step()
    assert stage.heartbeat()["holding"] == []
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM]


def test_frozen_past_the_lease_and_fenced_it_writes_nothing(stage: Stage) -> None:
    stage.publish(issue(to=9))

    def script(trial: FakeTrial) -> Steps:
        stage.lease.step()
        trial.report(1, loss=1.0)
        yield None
        stage.clock.sleep(1000.0)
        stage.fence()
        stage.store.writes.clear()
        yield OK

    stage.attempt(script)
    assert stage.store.writes == []
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.FENCE]


@pytest.mark.parametrize("frozen_in", ["metrics/", "files/b"])
def test_frozen_in_a_request_and_fenced_it_begins_nothing_more(stage: Stage, frozen_in: str) -> None:
    """The thread that waited for the answer may be the first one that runs again."""
    stage.publish(issue(to=2))
    create, after = stage.store.create, []

    def frozen(key: str, data: bytes) -> Created:
        answer = create(key, data)
        if frozen_in in key:
            stage.clock.time += 1000.0
            stage.fence()
            stage.store.writes.clear()
            after.append(stage.store.writes)
        return answer

    stage.store.create = frozen  # type: ignore[method-assign]

    def script(trial: FakeTrial) -> Steps:
        stage.lease.step()
        trial.report(1, loss=1.0)
        trial.save(1, a="1", b="2", c="3")
        yield OK

    stage.attempt(script)
    assert after == [[]]
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.FENCE]


def test_frozen_past_the_lease_and_not_fenced_it_looks_and_goes_on(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        stage.lease.step()
        trial.report(1, loss=1.0)
        yield None
        stage.clock.sleep(1000.0)
        stage.lease.paused()
        stage.store.calls.clear()
        yield None
        assert stage.store.calls[0] == ("get", "chain/00000000/000.0002.json")
        stage.lease.step()
        yield from trains(3, start=1)(trial)

    stage.attempt(script)
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert stage.curve(done) == {"loss": exactly(range(1, 4))}
