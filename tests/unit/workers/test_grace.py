"""What fits between a machine's first word and its end: saving, uploading, giving back (PROTOCOL.md, 5.9)."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from storage_schema.graces import GRACES_S, grace_of
from storage_schema.keys import SpecId, manifest_key
from storage_schema.records import LinkKind
from storage_schema.trial_env import INTERRUPT
from tests.unit.workers.stage import (
    OK,
    FakeTrial,
    MovedClock,
    Stage,
    Steps,
    checkpoint,
    failed,
    issue,
    trains,
)
from tests.unit.workers.test_worker import QUICK, Company
from tests.waiting import wait_until
from workers.ending import Ended
from workers.interruption import Interruption
from workers.last_resort import REASON, give_back
from workers.trial_folder import remove_save, write_save


def test_the_known_graces_are_what_the_providers_promise() -> None:
    assert grace_of("sagemaker") == grace_of("ec2") == 120.0
    assert grace_of("aws-batch") == 30.0
    assert grace_of("slurm") is grace_of("") is None
    assert all(grace > 0 for grace in GRACES_S.values())


@pytest.mark.parametrize(
    ("machine_s", "study_s", "trial_s"),
    [(None, 40.0, 40.0), (120.0, 40.0, 40.0), (120.0, 300.0, 90.0), (30.0, 40.0, 20.0), (3.0, 40.0, 2.0)],
)
def test_a_trial_gets_its_studys_grace_or_what_the_machine_leaves_of_it(
    machine_s: float | None, study_s: float, trial_s: float
) -> None:
    clock = MovedClock()
    interruption = Interruption(clock, machine_s)
    interruption.request("SIGTERM")
    assert interruption.trial_until(clock.time, study_s) == pytest.approx(clock.time + trial_s)


def test_all_of_it_fits_into_the_machines_time() -> None:
    for machine_s in (1.0, 10.0, 30.0, 120.0, 3600.0):
        clock = MovedClock()
        began = clock.time
        interruption = Interruption(clock, machine_s)
        interruption.request("SIGTERM")
        killed_at = interruption.trial_until(began, 1e6)
        while not interruption.overdue():
            assert not interruption.closing_over(grace_s=0.1)
            clock.time += machine_s / 1000
        assert began < killed_at < clock.time < began + machine_s
        assert interruption.closing_over(grace_s=1e6)


def test_a_notice_is_no_signal_and_the_signal_behind_it_only_shortens_the_time() -> None:
    clock = MovedClock()
    interruption = Interruption(clock, 30.0)
    interruption.notice("spot notice", 118.0)
    assert (interruption.count, interruption.deadline) == (1, clock.time + 118.0)
    clock.time += 2.0
    interruption.request("SIGTERM")
    assert not interruption.hurry
    assert (interruption.reason, interruption.deadline) == ("spot notice", clock.time + 30.0)
    interruption.request("SIGTERM")
    assert interruption.hurry
    assert interruption.trial_until(clock.time, 40.0) == clock.time


def test_a_notice_behind_a_signal_changes_nothing_but_the_time() -> None:
    clock = MovedClock()
    interruption = Interruption(clock, 30.0)
    interruption.request("SIGTERM")
    interruption.notice("spot notice", 10.0)
    interruption.notice("spot notice", 100.0)
    assert (interruption.count, interruption.reason) == (1, "SIGTERM")
    assert interruption.deadline == clock.time + 10.0


def test_a_trial_that_does_not_listen_is_killed_while_the_machine_still_lives(tmp_path: Path) -> None:
    stage = Stage(tmp_path, grace_s=3.0)
    stage.publish(issue(to=9))
    began: list[float] = []

    def script(trial: FakeTrial) -> Steps:
        stage.interruption.request("SIGTERM")
        began.append(stage.clock.time)
        while True:
            yield None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.terminated
    assert trial.killed
    assert stage.study.timing.grace_s == 4.0
    assert stage.clock.time - began[0] == pytest.approx(2.0, abs=0.4)
    assert stage.chain()[-1].kind is LinkKind.RELEASE


@pytest.mark.parametrize(
    ("ended", "told_after_s", "kind"),
    [
        (Ended(status=None, signal=15, reason="SIGTERM"), 0.5, LinkKind.RELEASE),
        (Ended(status=None, signal=10, reason="SIGUSR1"), 0.5, LinkKind.RELEASE),
        (Ended(status=143, signal=None, reason="a shell's word for SIGTERM"), 0.5, LinkKind.RELEASE),
        (Ended(status=None, signal=15, reason="SIGTERM"), 5.0, LinkKind.FAIL),
        (Ended(status=None, signal=11, reason="SIGSEGV"), 0.5, LinkKind.FAIL),
        (failed(1), 0.5, LinkKind.FAIL),
    ],
    ids=str,
)
def test_a_trial_that_goes_first_of_a_signal_to_all_has_not_failed(
    tmp_path: Path, ended: Ended, told_after_s: float, kind: LinkKind
) -> None:
    stage = Stage(tmp_path)
    stage.publish(issue(to=9))

    def script(trial: FakeTrial) -> Steps:
        told_at = stage.clock.time + told_after_s

        def tell() -> None:
            if stage.clock.time >= told_at and not stage.interruption.count:
                stage.interruption.request("SIGTERM")

        stage.clock.on_wait = tell
        yield ended

    stage.attempt(script)
    assert stage.chain()[-1].kind is kind


def test_the_trial_is_told_and_the_claim_given_back_also_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    uploading, go_on = threading.Event(), threading.Event()

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        trial.save(1)
        while INTERRUPT not in trial.asked:
            yield None
        yield failed(75)

    company = Company(tmp_path, script, study=QUICK, grace_s=1.2)
    stage = company.stage
    stage.publish(issue(0, to=9))

    def block(key: str) -> None:
        if "/files/" in key:
            uploading.set()
            go_on.wait(20.0)

    stage.store.on_create = block
    company.start()
    assert uploading.wait(10.0)
    stage.interruption.request("SIGTERM")
    trial = company.launchers[0].trials[0]
    wait_until(lambda: trial.asked == [INTERRUPT], 10.0, "the trial to be told")
    wait_until(lambda: company.status is not None, 10.0, "the worker's end")
    assert company.status == 75
    assert company.worker.cut_short
    release = stage.chain()[-1]
    assert (release.kind, release.reason, release.failures) == (LinkKind.RELEASE, REASON, 0)
    beat = json.loads(stage.read(stage.keys("workers/")[0]))
    assert (beat["holding"], beat["recent"], beat["slots"]) == ([], ["00000000-000"], 0)
    go_on.set()
    wait_until(lambda: company.launchers[0].closed, 10.0, "the slot's end")
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.RELEASE]
    assert manifest_key(checkpoint(1)) not in stage.keys("checkpoints/")


def test_of_two_ends_written_at_the_same_moment_one_stands_and_nobody_complains(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.publish(issue(to=3))

    def at_the_last_moment(key: str) -> None:
        if key.endswith("0002.json"):
            stage.store.on_create = lambda key: None
            give_back(stage.world, stage.lease)

    def script(trial: FakeTrial) -> Steps:
        for epoch in range(1, 4):
            trial.report(epoch, loss=1 / epoch)
            yield None
        stage.store.on_create = at_the_last_moment
        yield OK

    stage.attempt(script)
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM, LinkKind.RELEASE]
    assert any("dropped" in line for line in stage.said), stage.said


def test_a_wish_to_save_reaches_the_trial_once_and_is_taken_back_with_its_checkpoint(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.publish(issue(to=3))

    def script(trial: FakeTrial) -> Steps:
        trial.report(1, loss=1.0)
        yield None
        stage.interruption.saves += 1
        yield None
        yield None
        assert trial.asked == ["save"]
        trial.save(1)
        yield None
        yield None
        assert trial.answered == 1
        yield from trains(3, start=1)(trial)

    stage.attempt(script)
    assert stage.chain()[-1].kind is LinkKind.DONE
    assert manifest_key(checkpoint(1)) in [c for c in stage.store.writes if "manifest" in c]


def test_a_wish_is_taken_back_only_where_it_was_made(tmp_path: Path) -> None:
    own, another = tmp_path / "own", tmp_path / "another"
    own.mkdir()
    another.mkdir()
    write_save(own / "save")
    remove_save(own / "save")
    assert not (own / "save").exists()
    (another / "save").touch()
    own.rmdir()
    own.symlink_to(another)
    with pytest.raises(OSError):
        remove_save(own / "save")
    assert (another / "save").exists()


def test_a_draining_worker_finishes_what_runs_and_claims_nothing_more(tmp_path: Path) -> None:
    company = Company(tmp_path, trains(9, step_s=0.03), study=QUICK)
    company.stage.publish(issue(0, to=9), issue(1, to=9))
    company.start()
    wait_until(lambda: company.launchers and company.launchers[0].trials, 10.0, "a trial")
    company.stage.interruption.draining = "rebalance recommendation"
    assert company.end() == 75
    chains = [[link.kind for link in company.stage.chain(spec)] for spec in (SpecId(0, 0), SpecId(0, 1))]
    assert sorted(chains, key=len) == [[], [LinkKind.CLAIM, LinkKind.DONE]]
    assert any("rebalance" in line for line in company.stage.said)
