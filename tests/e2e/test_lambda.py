"""The coordinator's Lambda function: the real handler, and the real runtime client against a runtime API of ours."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from hpo_pipe.launch.lambda_handler import CoordinatorFailed, handler
from hpo_pipe.launch.own_schedule import switch_off
from storage_schema.keys import LOG, WORKERS
from storage_schema.store import open_store
from tests.e2e.fleet import SCRIPT, STUDY, hpo_pipe
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.servers.s3 import S3Server, lead_to

SCHEDULE = {
    "GroupName": "default",
    "Name": "tick",
    "ScheduleExpression": "rate(1 minute)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Description": "kept",
    "Target": {
        "Arn": "arn:aws:lambda:us-east-1:123456789012:function:tick",
        "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
        "RetryPolicy": {"MaximumRetryAttempts": 0},
    },
}


class Context:
    """Lambda's context, as far as it is used."""

    def __init__(self, seconds: float = 60) -> None:
        self._until = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self._until - time.monotonic()))


def create(url: str, folder: Path, trials: int = 3, scheduler: str = "asha") -> str:
    """Make a study at `url`."""
    file = folder / "study.toml"
    file.write_text(STUDY.format(python=sys.executable, script=SCRIPT, scheduler=scheduler, trials=trials))
    hpo_pipe("create", str(file), url)
    return url


def train(url: str) -> None:
    """Let a worker train what is claimable, without a tick of its own."""
    hpo_pipe("worker", url, "--drain", "--no-coordinator", env={"TEST_EPOCH_S": "0"})


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A study in a folder, which the function is for."""
    url = create(str(tmp_path / "study"), tmp_path)
    monkeypatch.setenv("HPO_PIPE_STUDY", url)
    return url


@pytest.fixture
def s3_study(moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A study in S3, which the function is for; this process's environment leads to moto."""
    lead_to(moto_server.endpoint, monkeypatch)
    url = create(moto_server.new_url(), tmp_path, 2, "none")
    monkeypatch.setenv("HPO_PIPE_STUDY", url)
    return url


def test_ticks_alone_bring_a_study_to_its_end(study: str) -> None:
    answers = []
    while not answers or not answers[-1]["ended"]:
        answers.append(handler({}, Context()))
        assert answers[-1] == {"study": study, "ticked": True, "ended": answers[-1]["ended"], "note": ""}
        train(study)
        assert len(answers) < 20
    assert len(answers) > 2
    assert not list(open_store(study).list(WORKERS + "c-")), "an invocation leaves no heartbeat behind"
    assert len(json.loads(hpo_pipe("trials", study, "--json"))) == 3
    hpo_pipe("replay", study)


def test_an_event_of_no_concern_does_not_touch_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:9", monkeypatch)  # nobody answers there
    monkeypatch.setenv("HPO_PIPE_STUDY", "s3://bucket/studies/first")
    place = {"bucket": {"name": "bucket"}, "object": {"key": "studies/first/hints/board.json"}}
    answer = handler({"source": "aws.s3", "detail": place}, Context())
    assert not answer["ticked"] and "none about records" in str(answer["note"])


def test_a_function_stands_before_its_study_does(
    moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(moto_server.endpoint, monkeypatch)
    url = moto_server.new_url()
    answer = handler({"study": url}, Context())
    assert answer == {"study": url, "ticked": False, "ended": False, "note": "no study lies there yet"}


def test_going_on_for_a_while_follows_a_worker_to_the_end(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_PIPE_TICK_FOR", "40")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handler, {}, Context(seconds=55))
        hpo_pipe("worker", study, "--no-coordinator", env={"TEST_EPOCH_S": "0"})
        assert waiting.result()["ended"] is True


def test_going_on_ends_in_time(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_PIPE_TICK_FOR", "900")
    began = time.monotonic()
    assert handler({}, Context(seconds=16))["ended"] is False  # 15 s are kept
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("environment", "event", "said"),
    [
        ({"HPO_PIPE_TICK_FOR": "soon"}, {}, "HPO_PIPE_TICK_FOR: 'soon': expected seconds, 0 to 900"),
        ({"HPO_PIPE_TICK_FOR": "901"}, {}, "HPO_PIPE_TICK_FOR"),
        ({"HPO_PIPE_SCHEDULE": "a b"}, {}, "HPO_PIPE_SCHEDULE"),
        (
            {"HPO_PIPE_MAX_WORKERS": "many"},
            {},
            "HPO_PIPE_MAX_WORKERS: 'many': expected a number of workers, 0 to",
        ),
        ({"HPO_PIPE_MAX_WORKERS": "-1"}, {}, "HPO_PIPE_MAX_WORKERS: '-1'"),
        ({"HPO_PIPE_MAX_WORKERS": "9" * 30}, {}, "HPO_PIPE_MAX_WORKERS"),
        ({"HPO_PIPE_MIN_WORKERS": "1"}, {}, "HPO_PIPE_MIN_WORKERS is set without HPO_PIPE_MAX_WORKERS"),
        (
            {"HPO_PIPE_MAX_WORKERS": "2", "HPO_PIPE_MIN_WORKERS": "3"},
            {},
            "HPO_PIPE_MIN_WORKERS is 3, expected at most HPO_PIPE_MAX_WORKERS, 2",
        ),
        ({"HPO_PIPE_STUDY": ""}, {}, "no study: set HPO_PIPE_STUDY"),
        ({}, {"study": "s3://other/one"}, "is not the one of HPO_PIPE_STUDY"),
        ({}, {"Records": "verysecretpassword"}, "Records: expected"),
    ],
)
def test_mistakes_are_said_plainly_and_without_secrets(
    environment: dict[str, str], event: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"HPO_PIPE_STUDY": "s3://bucket/studies/first", "SOME_TOKEN": "verysecretpassword", **environment}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CoordinatorFailed, match=said) as failed:
        handler(event, Context())
    assert "verysecretpassword" not in str(failed.value) and failed.value.__suppress_context__


def test_invocations_at_once_make_one_log_and_switch_the_schedule_off_at_the_end_only(
    s3_study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = boto3.client("scheduler")
    scheduler.create_schedule(**SCHEDULE)
    monkeypatch.setenv("HPO_PIPE_SCHEDULE", "tick")
    ended, rounds = False, 0
    with ThreadPoolExecutor(3) as pool:
        while not ended:
            assert scheduler.get_schedule(Name="tick")["State"] == "ENABLED"
            waiting = [pool.submit(handler, {}, Context()) for _ in range(3)]
            answers = [answer.result() for answer in waiting]
            ended = any(answer["ended"] for answer in answers)
            train(s3_study)
            rounds += 1
    assert rounds > 1 and all(answer["ticked"] for answer in answers)
    notes = {str(answer["note"]) for answer in answers if answer["ended"]}
    assert "schedule default/tick switched off" in notes
    assert notes <= {"schedule default/tick switched off", "schedule default/tick is off"}
    now = scheduler.get_schedule(Name="tick")
    assert now["State"] == "DISABLED"
    assert {key: now[key] for key in SCHEDULE} == SCHEDULE
    assert handler({}, Context())["note"] == "schedule default/tick is off"
    monkeypatch.setenv("HPO_PIPE_SCHEDULE", "nowhere/tick")
    again = handler({}, Context())
    assert again["ended"] and "stays on: ResourceNotFoundException" in str(again["note"])
    hpo_pipe("replay", s3_study)
    assert len(json.loads(hpo_pipe("trials", s3_study, "--json"))) == 2


def test_what_may_not_be_switched_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.stub import Stubber

    client = boto3.client(
        "scheduler", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    with Stubber(client) as stub:
        stub.add_response("get_schedule", {**SCHEDULE, "State": "ENABLED", "Arn": "arn:aws:scheduler:x"})
        stub.add_client_error("update_schedule", "AccessDeniedException", "iam:PassRole", 403)
        said = switch_off(client, "default", "tick")
    assert "stays on: AccessDeniedException; its role lacks rights" in said


class RuntimeApi(LoopbackServer):
    """The side of Lambda that the runtime client asks (Lambda Developer Guide, "Runtime API")."""

    def __init__(self) -> None:
        super().__init__()
        self.events: queue.Queue[object] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._closed = threading.Event()

    def answer(self, request: Request) -> Answer:
        last = request.path.rpartition("/")[2]
        if request.method == "GET" and last == "next":
            event = self._next()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "Lambda-Runtime-Deadline-Ms": str(int(1000 * (time.time() + 60))),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:tick",
                "Content-Type": "application/json",
            }
            return Answer(200, headers, json.dumps(event).encode())
        self.answers.put((last, json.loads(request.body)))
        return Answer(202, {}, b"{}")

    def _next(self) -> object:
        while not self._closed.is_set():
            try:
                return self.events.get(timeout=0.1)
            except queue.Empty:
                continue
        return {}


def test_the_runtime_client_of_the_image_calls_it(study: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed")
    with RuntimeApi() as api:
        child = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "hpo_pipe.launch.lambda_handler.handler"],
            env={
                **os.environ,
                "AWS_LAMBDA_RUNTIME_API": api.endpoint.removeprefix("http://"),
                "LAMBDA_TASK_ROOT": str(tmp_path),
                "AWS_LAMBDA_FUNCTION_NAME": "tick",
                "AWS_LAMBDA_FUNCTION_VERSION": "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            api.events.put({})
            kind, answer = api.answers.get(timeout=60)
            assert (kind, answer["ticked"]) == ("response", True), answer
            api.events.put({"nonsense": 1})
            kind, answer = api.answers.get(timeout=20)
            assert kind == "error" and answer["errorType"] == "CoordinatorFailed"
            assert "UserError: event: expected study" in answer["errorMessage"]
        finally:
            child.kill()
            child.communicate()
    assert list(open_store(study).list(LOG))
