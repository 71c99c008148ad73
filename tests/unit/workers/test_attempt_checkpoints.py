"""Which checkpoints an attempt keeps, which it goes on from, and what it does with damaged ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storage_schema.keys import SpecId, checkpoint_file_key, manifest_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import LinkKind, Manifest
from tests.unit.workers.stage import (
    OK,
    FakeTrial,
    Stage,
    Steps,
    checkpoint,
    crash,
    exactly,
    failed,
    issue,
    study,
    trains,
)


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


def test_every_final_checkpoint_stays_in_a_study_of_clones(tmp_path: Path) -> None:
    stage = Stage(tmp_path, study=study(keep_checkpoints="all"))
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    before = stage.chain()[-1].checkpoint
    assert before is not None
    stage.publish(issue(start=3, to=9, checkpoint=before), entry=1)
    stage.attempt(trains(9, save=True))
    after = stage.chain(SpecId(1, 0))[-1].checkpoint
    assert after is not None
    manifests = [key for key in stage.keys("checkpoints/") if key.endswith("manifest.json")]
    assert manifests == [before.key, after.key], "and only the final ones"


def test_a_clone_goes_on_from_its_parents_checkpoint_and_leaves_it_there(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    source = stage.chain()[-1].checkpoint
    assert source is not None
    stage.publish(issue(trial=1, start=3, to=9, checkpoint=source, parent=0), entry=1)
    trial = stage.attempt(trains(9, save=True))
    assert trial is not None
    assert (trial.file.start, trial.file.trial) == (3, 1)
    assert trial.file.restored is not None
    chain = stage.chain(SpecId(1, 0))
    assert (chain[0].checkpoint, chain[-1].kind) == (source, LinkKind.DONE)
    assert source.key in stage.keys("checkpoints/")


def test_the_parent_specs_checkpoint_stays_if_the_spec_leaves_none(stage: Stage) -> None:
    stage.publish(issue())
    stage.attempt(trains(3, save=True))
    parent = stage.chain()[-1].checkpoint
    stage.publish(issue(start=3, to=9, checkpoint=parent), entry=1)
    stage.attempt(trains(9))
    assert parent is not None
    assert parent.key in stage.keys("checkpoints/")


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
