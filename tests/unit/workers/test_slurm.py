"""Putting a job of Slurm's back into the queue: a recorded scontrol takes the call."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from storage_schema.errors import UserError
from workers import slurm
from workers.slurm import job_of, requeue, wants_requeue

TERM, USR1, INT = signal.SIGTERM, signal.SIGUSR1, signal.SIGINT


def scontrol(folder: Path, script: str) -> dict[str, str]:
    """Put a scontrol on a PATH that records its arguments and then does as told; return the environment."""
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> "{folder}/called"\n{script}\n')
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


def test_the_end_of_the_time_puts_it_back_and_a_cancellation_does_not() -> None:
    assert wants_requeue([USR1])
    assert wants_requeue([USR1, USR1])
    for caught in ([], [TERM], [INT], [USR1, TERM], [TERM, USR1]):
        assert not wants_requeue(caught)


def test_scontrol_is_called_with_the_job(tmp_path: Path) -> None:
    said: list[str] = []
    requeue("42_7", scontrol(tmp_path, "exit 0"), said.append)
    assert (tmp_path / "called").read_text() == "requeue|42_7|"
    assert said == ["Slurm's job 42_7 is back in the queue"]


def test_a_refusal_is_said_and_harms_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    requeue(
        "42", scontrol(tmp_path, "echo 'Requested operation is presently disabled' >&2; exit 1"), said.append
    )
    assert "exit status 1" in said[0]
    assert "presently disabled" in said[0]


def test_neither_does_a_scontrol_that_hangs_or_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "TIMEOUT_S", 0.2)
    said: list[str] = []
    requeue("42", scontrol(tmp_path, "exec sleep 60"), said.append)
    requeue("42", {"PATH": str(tmp_path / "nothing")}, said.append)
    assert len(said) == 2
    assert all("could not be put back" in line for line in said)
