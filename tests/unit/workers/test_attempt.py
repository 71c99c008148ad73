"""One attempt from its claim to its last link: what it costs, how it ends, and what its record says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from storage_schema.records import LinkKind
from tests.unit.workers.stage import (
    OK,
    FakeTrial,
    Stage,
    Steps,
    exactly,
    failed,
    issue,
    study,
    trains,
)


def test_a_trial_that_ends_well_closes_its_chain_with_its_whole_curve(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3), gpus=("0", "1"))
    claim, done = stage.chain()
    assert (claim.kind, done.kind) == (LinkKind.CLAIM, LinkKind.DONE)
    assert stage.curve(done) == {"loss": exactly(range(1, 4))}
    assert done.resource == 3
    assert done.reason == ""
    assert done.gpu_s == pytest.approx(2 * done.wall_s)
    assert done.checkpoint is None


def test_a_short_trial_costs_three_creates_and_no_listing(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3))
    verbs = [verb for verb, key in stage.store.calls]
    assert verbs.count("create") == 3
    assert verbs.count("list") == 0
    assert verbs.count("get") == 2  # the board, the log entry
    assert len(verbs) == 5


def test_failures_are_counted_and_the_last_one_settles(stage: Stage) -> None:
    spec = issue()
    stage.publish(spec)
    for _ in range(3):

        def script(trial: FakeTrial) -> Steps:
            trial.printed = b"boom\n"
            yield failed(3)

        stage.attempt(script)
        stage.reoffer(spec)
    fails = stage.chain()[1::2]
    assert [(link.failures, link.retries_left) for link in fails] == [(1, 2), (2, 1), (3, 0)]
    assert fails[-1].settles
    assert fails[0].tail == "boom\n"
    assert "exit status 3" in fails[0].reason
    assert stage.read("output/00000000/000.0001.txt") == b"boom\n"


def test_a_failed_attempt_names_its_newest_checkpoint_and_its_metrics(stage: Stage) -> None:
    stage.publish(issue(to=9))
    stage.attempt(trains(2, save=True, end=failed(1)))
    fail = stage.chain()[-1]
    assert fail.checkpoint is not None
    assert fail.checkpoint.resource == 2
    assert stage.curve(fail) == {"loss": exactly(range(1, 3))}


def test_an_objective_that_was_never_reported_fails_for_good_and_lists_what_was(stage: Stage) -> None:
    stage.publish(issue())

    def script(trial: FakeTrial) -> Steps:
        trial.report(3, los=0.5, accuracy=0.9)
        yield OK

    stage.attempt(script)
    fail = stage.chain()[-1]
    assert (fail.kind, fail.retries_left) == (LinkKind.FAIL, 0)
    assert "'loss' was never reported (did you mean 'los'?); reported: accuracy, los" in fail.reason


def test_a_trial_that_reported_nothing_is_told_how_to(stage: Stage) -> None:
    stage.publish(issue())

    def script(trial: FakeTrial) -> Steps:
        yield OK

    stage.attempt(script)
    assert "metric.pattern" in stage.chain()[-1].reason


def test_an_objective_reported_only_past_the_end_fails_for_good(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        trial.report(100, loss=0.5)
        yield OK

    stage.attempt(script)
    fail = stage.chain()[-1]
    assert (fail.kind, fail.retries_left) == (LinkKind.FAIL, 0)
    assert "at epoch 100" in fail.reason


def test_nan_as_the_last_value_is_done(stage: Stage) -> None:
    stage.publish(issue())

    def script(trial: FakeTrial) -> Steps:
        trial.report(3, loss=math.nan)
        yield OK

    stage.attempt(script)
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert stage.curve(done) == {"loss": [(3, None)]}
    stage.lease.step()


def test_an_early_end_is_done_with_a_note(stage: Stage) -> None:
    stage.publish(issue(to=3))
    stage.attempt(trains(2))
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert done.resource == 2
    assert "epoch 2 of 3" in done.reason


def test_a_trial_that_trains_on_past_its_end_is_stopped_and_done(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        for epoch in range(1, 1000):
            trial.report(epoch, loss=1 / epoch)
            trial.clock.sleep(0.5)
            yield failed(143) if trial.terminated else None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.asked == ["stop"]
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert done.resource < 15
    assert "past epoch 3" in done.reason
    assert stage.curve(done)["loss"][:3] == exactly(range(1, 4))


def test_one_that_does_not_even_hear_signals_is_killed(stage: Stage) -> None:
    stage.publish(issue(to=3))
    trial = stage.attempt(trains(30, end=None))
    assert trial is not None
    assert trial.terminated
    assert trial.killed
    assert stage.chain()[-1].kind is LinkKind.DONE


def test_a_trial_that_stays_to_clean_up_at_its_end_is_left_alone(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        trial.report(3, loss=0.5)
        for _ in range(200):
            yield None
        yield OK

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.asked == []
    assert not trial.terminated


def test_without_a_resource_the_last_report_counts_whatever_its_number(stage: Stage, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "b", study=study(resource=None))
    stage.publish(issue(to=1))
    trial = stage.attempt(trains(50, save=True))
    assert trial is not None
    assert trial.file.to is None
    done = stage.chain()[-1]
    assert (done.kind, done.reason) == (LinkKind.DONE, "")
    assert done.checkpoint is not None
    assert done.checkpoint.resource == 50


def test_a_long_training_ends_with_one_merged_segment(stage: Stage) -> None:
    stage.publish(issue(to=9))
    stage.attempt(trains(9, step_s=11.0))
    done = stage.chain()[-1]
    assert len(stage.keys("metrics/")) > 5
    assert len(done.segments) == 1
    assert stage.curve(done) == {"loss": exactly(range(1, 10))}
