"""The coordinator's Lambda function starts workers, and leaves nothing behind that waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from hpo_pipe.launch.lambda_handler import handler
from storage_schema.keys import WORKERS, submission_key
from storage_schema.store import open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import hpo_pipe
from tests.e2e.test_lambda import SCHEDULE, Context, create, train
from tests.e2e.test_submit_aws import run
from tests.servers.batch import new_queue
from tests.servers.s3 import S3Server, lead_to
from tests.servers.scripted_aws import Refused, ScriptedAws, scripted
from tests.waiting import wait_until

Answer = dict[str, Any]
TEMPLATE = ("--workers", "0", "--job-queue")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_EPOCH_S", "0.01")
    monkeypatch.setenv("HPO_PIPE_MAX_WORKERS", "2")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A study in a folder, which the function is for; local workers of it do not outlive the test."""
    url = create(str(tmp_path / "study"), tmp_path, 3, "none")
    monkeypatch.setenv("HPO_PIPE_STUDY", url)
    yield url
    for path in (tmp_path / "logs").glob("*.pid"):
        with suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


@pytest.fixture
def schedule(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule that calls the function; this process's environment leads to moto."""
    lead_to(moto_server.endpoint, monkeypatch)
    name = f"tick-{uuid4()}"
    boto3.client("scheduler").create_schedule(**{**SCHEDULE, "Name": name})
    monkeypatch.setenv("HPO_PIPE_SCHEDULE", name)


def on() -> bool:
    """Return whether the schedule calls the function."""
    found = boto3.client("scheduler").get_schedule(Name=os.environ["HPO_PIPE_SCHEDULE"])
    return bool(found["State"] == "ENABLED")


def until(done: Callable[[Answer], bool]) -> list[Answer]:
    """Invoke the function until an answer is the one waited for; return all answers."""
    answers: list[Answer] = []

    def asked() -> bool:
        answers.append(handler({}, Context()))
        return done(answers[-1])

    wait_until(asked, 60, lambda: str(answers[-3:]))
    return answers


def local(study: str, folder: Path) -> None:
    """Say that workers are processes of this machine."""
    hpo_pipe(
        "submit", "local", study, "--workers", "0", "--logs", str(folder / "logs"), "--idle-timeout", "60"
    )


def test_local_workers_are_started_and_the_study_comes_to_its_end(study: str, tmp_path: Path) -> None:
    local(study, tmp_path)
    first = handler({}, Context())
    assert (
        first["ticked"] and str(first["scaled"]).startswith("wanted ") and "started" in str(first["scaled"])
    )
    answers = until(lambda answer: answer["ended"] and answer["scaled"] == "wanted 0, alive 0")
    assert all("failed" not in answer["scaled"] for answer in answers)
    told = json.loads(hpo_pipe("submit", "status", study, "--all", "--json"))
    assert 1 <= sum(len(one["jobs"] or ()) for one in told) <= 2
    assert audit(open_store(study)) == []


@pytest.mark.usefixtures("schedule")
def test_batch_is_asked_for_workers_until_the_study_has_ended(
    tmp_path: Path, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, queue = new_queue(moto_server)
    url = create(moto_server.new_url(), tmp_path, 2, "none")
    monkeypatch.setenv("HPO_PIPE_STUDY", url)
    given = ("--image", "repo/train:1", "--vcpus", "1", "--memory", "512")
    hpo_pipe("submit", "aws-batch", url, *TEMPLATE, queue, *given, "--env", "TEST_EPOCH_S=0.01")
    workers: dict[str, subprocess.Popen[bytes]] = {}

    def ended(answer: Answer) -> bool:
        for job in batch.describe_jobs(jobs=[])["jobs"]:  # which moto records, and takes for done
            ours = queue in job["jobQueue"] and "size" not in job.get("arrayProperties", {})
            if ours and job["jobId"] not in workers:
                container = job["container"]
                variables = {one["name"]: one["value"] for one in container["environment"]}
                workers[job["jobId"]] = run(container["command"], variables, tmp_path)
        beats = open_store(url)
        wait_until(lambda: len(list(beats.list(f"{WORKERS}w-"))) == len(workers), 30, "the workers begin")
        assert answer["ended"] or on()
        return bool(answer["ended"] and not on())

    answers = until(ended)
    assert answers[0]["scaled"].startswith("wanted 2, alive 0, 2 started")
    assert answers[-1]["note"].endswith(" switched off") and answers[-1]["scaled"].startswith("wanted 0")
    assert len(workers) == 2
    assert [one.wait(30) for one in workers.values()] == [0] * len(workers)
    assert audit(open_store(url)) == []


@pytest.fixture
def batch(
    study: str, schedule: None, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedAws]:
    """Batch by a script, with one job submitted by the function; all else is moto."""
    with scripted("batch", monkeypatch) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", os.environ["AWS_ENDPOINT_URL"])
        lead_to(moto_server.endpoint, monkeypatch)
        monkeypatch.setenv("HPO_PIPE_MAX_WORKERS", "1")
        server.answers("ListJobs", {"jobSummaryList": []})
        server.answers("SubmitJob", {"jobName": "n", "jobId": "one"})
        hpo_pipe("submit", "aws-batch", study, *TEMPLATE, "gpus", "--job-definition", "worker")
        assert handler({}, Context())["scaled"] == "wanted 1, alive 0, 1 started"
        yield server


def job(status: str) -> Answer:
    """Return Batch's description of the job."""
    told = {"jobId": "one", "jobName": "n", "jobQueue": "gpus", "jobDefinition": "worker"}
    return {"jobs": [{**told, "status": status, "startedAt": 1}]}


def bring_to_its_end(url: str) -> Answer:
    """Train all that is to be trained, and return the first answer after the end."""
    while True:
        train(url)
        answer = handler({}, Context())
        if answer["ended"]:
            return answer


def test_what_still_waits_at_the_end_is_cancelled_before_the_schedule_is_switched_off(
    batch: ScriptedAws, study: str
) -> None:
    batch.answers("DescribeJobs", job("RUNNABLE"))
    batch.answers("CancelJob", {})
    answer = bring_to_its_end(study)
    assert answer["scaled"] == "wanted 0, alive 1, of them 1 waiting for a machine, 1 cancelled"
    assert batch.requests("CancelJob")[-1]["jobId"] == "one"
    assert "stays on: submission 2 (aws-batch) has not ended" in answer["note"] and on()

    batch.answers("DescribeJobs", Refused("TooManyRequestsException", 429))
    answer = handler({}, Context())  # it cannot be asked: nobody knows whether it still waits
    assert answer["ended"] and "stays on: submission 2 (aws-batch)" in str(answer["note"]) and on()

    batch.answers("DescribeJobs", job("RUNNING"))
    assert "stays on" in str(handler({}, Context())["note"]) and on()  # its machine may still be taken back

    batch.answers("DescribeJobs", job("FAILED"))
    answer = handler({}, Context())
    assert str(answer["note"]).endswith("switched off") and not on()
    assert len(batch.requests("SubmitJob")) == 1


def test_no_launch_is_begun_without_the_time_for_it(batch: ScriptedAws, study: str) -> None:
    batch.answers("DescribeJobs", job("FAILED"))
    asked = len(batch.asked)
    answer = handler({}, Context(seconds=34))
    assert answer["ticked"] and "failed: no time was left" in str(answer["scaled"])
    assert len(batch.asked) == asked
    assert len(list(open_store(study).list("submissions/"))) == 4, "two submissions and what came of each"


def test_no_failure_of_it_fails_an_invocation_and_secrets_are_kept(
    batch: ScriptedAws, study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "verysecretpassword")
    batch.answers("DescribeJobs", job("SUCCEEDED"))
    batch.answers("SubmitJob", Refused("ClientException", 400, "no queue verysecretpassword"))
    answer = handler({}, Context())
    assert answer["ticked"] and answer["scaled"] == "wanted 1, alive 0"
    said = capsys.readouterr().out
    assert (
        "scaling: aws-batch: invalid: ClientException: no queue" in said and "verysecretpassword" not in said
    )
    open_store(study).create(submission_key(99, 1), b"{")
    answer = handler({}, Context())
    assert answer["ticked"] and str(answer["scaled"]).startswith("failed: ")
    assert "scaling failed: " in capsys.readouterr().out
    answer = bring_to_its_end(study)
    assert "stays on: what runs or waits is not known" in answer["note"] and on()


@pytest.mark.usefixtures("schedule")
def test_a_study_to_which_nothing_was_submitted_is_left_alone_quietly(
    study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = handler({}, Context())
    assert answer["ticked"] and str(answer["scaled"]).startswith("nothing was ever submitted to this study")
    assert capsys.readouterr().out == ""
    assert bring_to_its_end(study)["note"].endswith("switched off")
