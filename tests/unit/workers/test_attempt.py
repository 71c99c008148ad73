from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage_schema.keys import CheckpointId, checkpoint_file_key, manifest_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import LinkKind, Manifest
from storage_schema.store import Created
from storage_schema.trial_env import INTERRUPT, STOP
from tests.unit.workers.stage import (
    OK,
    SPEC,
    FakeTrial,
    Stage,
    exactly,
    failed,
    issue,
    study,
    trains,
)
from workers.closing import MAX_UNASKED
from workers.trial_process import Ended

Steps = Iterator[Ended | None]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def checkpoint(resource: int, attempt: int = 1, trial: int = 0) -> CheckpointId:
    return CheckpointId(trial, resource, SPEC, attempt)


def crash(stage: Stage, script_to: int, save: bool = True) -> None:
    """An attempt that is fenced while it trains; its checkpoints up to `script_to` are committed."""

    def script(trial: FakeTrial) -> Steps:
        first = trial.file.start
        for epoch in range(first + 1, script_to + 1):
            trial.report(epoch, loss=1 / epoch)
            if save:
                trial.save(epoch)
            yield None
            yield None
        stage.fence()
        stage.clock.sleep(stage.study.timing.flush_s)
        while True:
            yield None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.killed


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


def test_the_last_checkpoint_is_named_and_the_others_are_deleted(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    done = stage.chain()[-1]
    assert done.checkpoint is not None
    assert done.checkpoint.key == manifest_key(checkpoint(3))
    assert stage.keys("checkpoints/") == [
        checkpoint_file_key(checkpoint(3), "state"),
        manifest_key(checkpoint(3)),
    ]
    manifest = Manifest.from_bytes(stage.read(done.checkpoint.key), done.checkpoint.key)
    assert manifest.resource == 3
    assert manifest.segments


def test_a_running_attempt_keeps_its_newest_two_checkpoints(stage: Stage) -> None:
    stage.publish(issue(to=9))
    crash(stage, 6)
    assert [k for k in stage.keys("checkpoints/") if k.endswith("manifest.json")] == [
        manifest_key(checkpoint(5)),
        manifest_key(checkpoint(6)),
    ]


def test_the_parent_specs_checkpoint_goes_once_the_spec_has_its_own(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    parent = stage.chain()[-1].checkpoint
    second = issue(start=3, to=9, checkpoint=parent)
    stage.publish(second, entry=1)
    trial = stage.attempt(trains(9, save=True))
    assert trial is not None
    assert trial.file.start == 3
    assert parent is not None
    assert parent.key not in stage.keys("checkpoints/")
    assert len(stage.keys("checkpoints/")) == 2


def test_the_parent_specs_checkpoint_stays_if_the_spec_leaves_none(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    parent = stage.chain()[-1].checkpoint
    stage.publish(issue(start=3, to=9, checkpoint=parent), entry=1)
    stage.attempt(trains(9))
    assert parent is not None
    assert parent.key in stage.keys("checkpoints/")


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


def test_an_attempt_resumes_from_the_newest_checkpoint_and_inherits_the_curve(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)
    crash(stage, 5)
    stage.reoffer(spec)
    trial = stage.attempt(trains(9))
    assert trial is not None
    assert trial.file.start == 5
    claim, done = stage.chain()[-2:]
    assert claim.checkpoint is not None
    assert claim.checkpoint.key == manifest_key(checkpoint(5))
    assert done.segments[0].until == 5
    assert stage.curve(done) == {"loss": exactly(range(1, 10))}


def test_rows_after_the_checkpoint_of_a_dead_attempt_do_not_count(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)

    def script(trial: FakeTrial) -> Steps:
        for epoch in (1, 2):
            trial.report(epoch, loss=1 / epoch)
        trial.report(3, loss=99.0)
        trial.save(2)
        yield None
        yield None
        stage.fence()
        stage.clock.sleep(stage.study.timing.flush_s)
        while True:
            yield None

    stage.attempt(script)
    stage.reoffer(spec)
    stage.attempt(trains(9))
    assert stage.curve(stage.chain()[-1]) == {"loss": exactly(range(1, 10))}


def test_the_restored_files_are_the_ones_that_were_saved(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)
    crash(stage, 2)
    stage.reoffer(spec)
    seen: list[str] = []

    def script(trial: FakeTrial) -> Steps:
        assert trial.file.restored is not None
        seen.append((Path(trial.file.restored) / "state").read_text())
        yield from trains(9)(trial)

    stage.attempt(script)
    assert seen == ["2"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "manifest", "segment"])
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(stage: Stage, damage: str) -> None:
    spec = issue(to=9)
    stage.publish(spec)
    crash(stage, 4)
    newest, older = checkpoint(4), checkpoint(3)
    state = checkpoint_file_key(newest, "state")
    match damage:
        case "flip":
            stage.store.inner.replace(state, b"5")
        case "truncate":
            stage.store.inner.replace(state, b"")
        case "missing":
            stage.store.inner.delete(state)
        case "manifest":
            stage.store.inner.replace(manifest_key(newest), stage.read(manifest_key(newest))[:-3])
        case "segment":
            manifest = Manifest.from_bytes(stage.read(manifest_key(newest)), "m")
            other = write_segment([Row(4, "loss", 99.0, 0.0)])
            stage.store.inner.replace(manifest.segments[-1].key, other)
    stage.reoffer(spec)
    trial = stage.attempt(trains(9))
    assert trial is not None
    assert trial.file.start == older.resource
    assert stage.curve(stage.chain()[-1]) == {"loss": exactly(range(1, 10))}
    assert any("passing over a checkpoint" in line for line in stage.said)


def test_a_checkpoint_that_two_attempts_died_on_is_passed_over(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)
    crash(stage, 4)
    starts = []
    for _ in range(3):
        stage.reoffer(spec)

        def script(trial: FakeTrial) -> Steps:
            starts.append(trial.file.start)
            yield failed(139)

        stage.study = replace(stage.study, retries=5)
        stage.bench = replace(stage.bench, study=stage.study)
        stage.attempt(script)
    assert starts == [4, 4, 3]


def test_a_checkpoint_that_was_given_back_in_good_order_is_not_worn_out(stage: Stage) -> None:
    spec = issue(to=9)
    stage.publish(spec)
    crash(stage, 4)
    starts = []
    for _ in range(4):
        stage.reoffer(spec)

        def script(trial: FakeTrial) -> Steps:
            starts.append(trial.file.start)
            yield failed(75)

        stage.attempt(script)
    assert starts == [4, 4, 4, 4]


def test_an_end_that_was_committed_but_not_closed_is_not_trained_again(stage: Stage) -> None:
    spec = issue(to=3)
    stage.publish(spec)
    crash(stage, 3)
    stage.reoffer(spec)
    assert stage.attempt(trains(3)) is None
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert done.checkpoint is not None
    assert done.checkpoint.resource == 3
    assert stage.curve(done) == {"loss": exactly(range(1, 4))}


def test_a_checkpoint_saved_before_its_report_waits_for_it(stage: Stage) -> None:
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        trial.save(2)
        yield None
        yield None
        assert stage.keys("checkpoints/") == []
        trial.report(2, loss=0.5)
        yield None
        yield None
        assert manifest_key(checkpoint(2)) in stage.keys("checkpoints/")
        trial.report(3, loss=1 / 3)
        yield OK

    stage.attempt(script)
    assert stage.chain()[-1].kind is LinkKind.DONE


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


def test_a_long_training_ends_with_one_merged_segment(stage: Stage) -> None:
    stage.publish(issue(to=9))
    stage.attempt(trains(9, step_s=11.0))
    done = stage.chain()[-1]
    assert len(stage.keys("metrics/")) > 5
    assert len(done.segments) == 1
    assert stage.curve(done) == {"loss": exactly(range(1, 10))}


def test_checkpoints_that_are_no_plain_files_are_named_and_not_used(stage: Stage) -> None:
    stage.publish(issue())

    def script(trial: FakeTrial) -> Steps:
        folder = Path(trial.file.checkpoint_dir)
        (folder / "best").mkdir()
        (folder / "2").mkdir()
        (folder / "2" / "link").symlink_to("/etc/passwd")
        (folder / "7").mkdir()
        (folder / "1").write_text("not a folder")
        yield None
        yield from trains(3)(trial)

    stage.attempt(script)
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert done.checkpoint is None
    assert stage.keys("checkpoints/") == []
    assert "is not used" in done.reason
    complaints = "\n".join(stage.said)
    for words in (
        "'best'",
        "'link' is neither a file",
        "7 is outside",
        "'1' is not used: it is not a folder",
    ):
        assert words in complaints


def test_a_promoted_trial_finds_its_checkpoint_on_this_machine(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    parent = stage.chain()[-1].checkpoint
    stage.publish(issue(start=3, to=9, checkpoint=parent), entry=1)
    assert stage.cache.trials() == {0}
    stage.store.calls.clear()
    stage.attempt(trains(9, save=True))
    assert not [key for verb, key in stage.store.calls if verb == "get" and "/files/" in key]


def test_a_checkpoint_on_this_machine_that_was_touched_is_fetched_anew(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    parent = stage.chain()[-1].checkpoint
    for path in (stage.folder / "cache").rglob("state"):
        path.write_text("x")
    stage.publish(issue(start=3, to=9, checkpoint=parent), entry=1)
    seen: list[str] = []

    def script(trial: FakeTrial) -> Steps:
        assert trial.file.restored is not None
        seen.append((Path(trial.file.restored) / "state").read_text())
        yield from trains(9)(trial)

    stage.attempt(script)
    assert seen == ["3"]
