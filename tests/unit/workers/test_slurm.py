"""Putting a job of Slurm's back into the queue: a recorded scontrol takes the call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage_schema.errors import UserError
from workers import slurm
from workers.slurm import Standing, job_of, put_back


def scontrol(folder: Path, script: str) -> dict[str, str]:
    """Put a scontrol on a PATH that records its arguments and then does as told; return the environment."""
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" "$SLURM_TIME_FORMAT" >> "{folder}/called"\n{script}\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"}


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "42"}, "42"),
        ({"SLURM_JOB_ID": "45", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "0"}, "42_0"),
        ({"SLURM_JOB_ID": "45", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "17"}, "42_17"),
        ({"SLURM_JOB_ID": "42", "SLURM_NTASKS": "1"}, "42"),
    ],
)
def test_a_job_is_named_as_scontrol_takes_it(environment: dict[str, str], job: str) -> None:
    assert job_of(environment) == job


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "SLURM_JOB_ID is not set"),
        ({"SLURM_JOB_ID": "42; rm"}, "SLURM_JOB_ID is '42; rm'"),
        ({"SLURM_JOB_ID": "42", "SLURM_NTASKS": "4"}, "SLURM_NTASKS=4"),
    ],
)
def test_elsewhere_the_option_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        job_of(environment)


def shown(**fields: str) -> str:
    """Return what `scontrol --oneliner show job` prints with times as numbers, as Slurm 22.05 does."""
    given = {
        "JobState": "RUNNING",
        "Requeue": "1",
        "StartTime": "1000000",
        "EndTime": "1086400",
        "PreemptTime": "None",
    } | fields
    start = (
        "JobId=45 ArrayJobId=42 ArrayTaskId=7 JobName=hpo-worker UserId=you(1000) GroupId=you(1000) MCS_label=N/A "
        "Priority=4294901759 Nice=0 Account=(null) QOS=(null)"
    )
    told = (
        "{start} JobState={JobState} Reason=None Dependency=(null) Requeue={Requeue} Restarts=0 BatchFlag=1 Reboot=0 "
        "ExitCode=0:0 RunTime=00:00:01 TimeLimit=1-00:00:00 TimeMin=N/A SubmitTime=999990 EligibleTime=999990 "
        "AccrueTime=999990 StartTime={StartTime} EndTime={EndTime} Deadline=N/A PreemptEligibleTime=1000000 "
        "PreemptTime={PreemptTime} SuspendTime=None SecsPreSuspend=0 LastSchedEval=1000000 Partition=spot Power="
    )
    return told.format(start=start, **given)


PREEMPTED = {"PreemptTime": "1000100"}
BEGUN, MIDDLE, NEARLY_UP = 1000010.0, 1040000.0, 1086300.0


@pytest.mark.parametrize(
    ("fields", "now", "told", "goes_on"),
    [
        pytest.param(PREEMPTED, MIDDLE, False, True, id="preempted"),
        pytest.param(PREEMPTED, MIDDLE, True, True, id="preempted-by-SIGUSR1"),
        pytest.param({"PreemptTime": "1000001"}, BEGUN, False, True, id="preempted-soon-after-its-start"),
        pytest.param(
            PREEMPTED | {"JobState": "CANCELLED"}, MIDDLE, True, False, id="preempted-and-cancelled"
        ),
        pytest.param({"PreemptTime": "999000"}, MIDDLE, False, False, id="preempted-in-the-run-before"),
        pytest.param({}, MIDDLE, True, True, id="told-before-its-time-limit"),
        pytest.param({}, NEARLY_UP, False, True, id="near-its-time-limit"),
        pytest.param({}, MIDDLE, False, False, id="SIGTERM-for-no-reason-of-slurms"),
        pytest.param({"EndTime": "Unknown"}, MIDDLE, False, False, id="no-time-limit"),
        pytest.param({}, BEGUN, True, False, id="would-turn-round-for-ever"),
        pytest.param({"JobState": "CANCELLED"}, NEARLY_UP, True, False, id="cancelled"),
        pytest.param({"JobState": "COMPLETING"}, NEARLY_UP, True, False, id="being-killed"),
        pytest.param({"StartTime": "Unknown"}, NEARLY_UP, True, False, id="not-started"),
    ],
)
def test_what_was_preempted_or_is_out_of_time_goes_on_and_what_was_cancelled_does_not(
    fields: dict[str, str], now: float, told: bool, goes_on: bool
) -> None:
    assert Standing.of(shown(**fields)).goes_on(now, told=told) is goes_on


def test_nothing_goes_on_by_an_answer_that_is_none() -> None:
    assert not Standing.of("slurm_load_jobs error: Invalid job id specified").goes_on(MIDDLE, told=True)


def back(environment: dict[str, str], said: list[str], told: bool = False) -> None:
    put_back("42_7", environment, said.append, now=MIDDLE, told=told)


def test_scontrol_is_asked_and_called_with_the_job(tmp_path: Path) -> None:
    said: list[str] = []
    environment = scontrol(tmp_path, f"[ $1 = requeue ] || echo '{shown(**PREEMPTED)}'")
    back(environment, said)
    assert (tmp_path / "called").read_text() == "--oneliner|show|job|42_7|%s|requeue|42_7|%s|"
    assert said == ["Slurm's job 42_7 is back in the queue"]


def test_a_cancelled_job_is_left_alone_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    back(scontrol(tmp_path, f"echo '{shown(JobState='CANCELLED')}'"), said, told=True)
    assert "requeue" not in (tmp_path / "called").read_text()
    assert said == []


def test_one_that_must_not_be_put_back_is_told_how_it_could(tmp_path: Path) -> None:
    said: list[str] = []
    back(scontrol(tmp_path, f"echo '{shown(Requeue='0')}'"), said, told=True)
    assert "requeue" not in (tmp_path / "called").read_text()
    assert said == [
        "Slurm's job 42_7 could not be put back into the queue: Requeue=0; sbatch --requeue allows it"
    ]


@pytest.mark.parametrize("verb", ["show", "requeue"])
def test_a_refusal_is_said_and_harms_nothing(tmp_path: Path, verb: str) -> None:
    said: list[str] = []
    refuses = f"case $* in *{verb}*) echo 'Requested operation is presently disabled' >&2; exit 1;; esac"
    back(scontrol(tmp_path, f"{refuses}; echo '{shown(**PREEMPTED)}'"), said)
    assert "exit status 1" in said[0]
    assert "presently disabled" in said[0]


def test_neither_does_a_scontrol_that_hangs_or_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "TIMEOUT_S", 0.2)
    said: list[str] = []
    back(scontrol(tmp_path, "exec sleep 60"), said)
    back({"PATH": str(tmp_path / "nothing")}, said)
    assert len(said) == 2
    assert all("could not be put back" in line for line in said)
