"""What ``submit aws-batch`` makes of Batch's answers: refusals, lost ones, and jobs in every state."""

from collections.abc import Iterator
from typing import Any

import pytest

from hpo_pipe.launch import aws
from hpo_pipe.launch.target import JobState, Launched, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.aws_batch import SUBMITS, TARGET, AwsBatch
from hpo_pipe.launch.targets.aws_batch.request import EVALUATE_ON_EXIT
from storage_schema.errors import UserError
from tests.servers.scripted_aws import LOST, Refused, ScriptedAws, scripted
from tests.unit.launch.orders import order

GIVEN = {"job_queue": "gpus", "job_definition": "worker", "region": "eu-west-1"}
NONE: dict[str, Any] = {"jobSummaryList": []}
TAKEN = {"jobName": "n", "jobId": "new"}


class StoppedClock:
    """Waits by counting."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def wait(self, event: Any, timeout_s: float) -> bool:
        return False


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAws]:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    with scripted("batch", monkeypatch) as server:
        server.answers("ListJobs", NONE)
        server.answers("SubmitJob", TAKEN)
        yield server


def summary(name: str, **told: Any) -> dict[str, Any]:
    return {"jobId": "id", "jobName": name, "status": "RUNNABLE", **told}


def test_a_right_that_is_missing_is_named(batch: ScriptedAws) -> None:
    batch.answers("ListJobs", Refused("AccessDeniedException", 403, "not you"))
    for ask in (TARGET.look, TARGET.cancel):
        with pytest.raises(
            TargetUnavailable, match=r"ListJobs: .*not you; the right batch:ListJobs is missing"
        ):
            ask(order(TARGET, GIVEN, 4), [])
    batch.answers("DescribeJobs", Refused("AccessDeniedException", 403, "not you"))
    with pytest.raises(TargetUnavailable, match="the right batch:DescribeJobs is missing"):
        TARGET.look(order(TARGET, GIVEN, 4), ["id"])


def test_what_is_there_already_is_not_submitted_again(batch: ScriptedAws) -> None:
    ordered = order(TARGET, GIVEN, 4)
    batch.answers(
        "ListJobs",
        {"jobSummaryList": [summary(ordered.name.upper()), summary(ordered.name + "0")], "nextToken": "t"},
        {
            "jobSummaryList": [
                summary(ordered.name, jobId="younger", createdAt=2, status="RUNNING"),
                summary(ordered.name, jobId="first", createdAt=1, status="FAILED"),
                summary(ordered.name, jobId="child:0", createdAt=0),
            ]
        },
    )
    assert TARGET.launch(ordered) == Launched(jobs=("first",), workers=4)
    assert not batch.requests("SubmitJob")
    first, second = batch.requests("ListJobs")
    assert first["filters"] == [{"name": "JOB_NAME", "values": [ordered.name]}]
    assert second["nextToken"] == "t"


def test_asked_too_fast_it_waits_and_asks_again(batch: ScriptedAws) -> None:
    clock = StoppedClock()
    slow = Refused("TooManyRequestsException", 429)
    batch.answers("SubmitJob", slow, slow, TAKEN)
    assert AwsBatch(clock).launch(order(TARGET, GIVEN)) == Launched(jobs=("new",), workers=1)
    assert len(batch.requests("SubmitJob")) == 3
    assert len(clock.slept) == 2
    batch.answers("SubmitJob", slow)
    found = AwsBatch(clock).launch(order(TARGET, GIVEN))
    assert (found.refusal, found.workers) == (Refusal.THROTTLED, 0)
    assert len(batch.requests("SubmitJob")) == 3 + SUBMITS


@pytest.mark.parametrize(
    "answer", [LOST, Refused("ServerException", 500), Refused("ServiceUnavailable", 503)]
)
def test_where_it_may_have_been_taken_it_is_not_sent_again(batch: ScriptedAws, answer: Any) -> None:
    batch.answers("SubmitJob", answer)
    with pytest.raises(TargetUnavailable):
        TARGET.launch(order(TARGET, GIVEN))
    assert len(batch.requests("SubmitJob")) == 1


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("AccessDeniedException", 403, Refusal.DENIED),
        ("ClientException", 400, Refusal.INVALID),
        ("ServiceQuotaExceededException", 400, Refusal.QUOTA),
    ],
)
def test_refusals_are_answers(batch: ScriptedAws, code: str, status: int, meaning: Refusal) -> None:
    batch.answers("SubmitJob", Refused(code, status, "said"))
    assert TARGET.launch(order(TARGET, GIVEN)) == Launched(refusal=meaning, message=f"{code}: said")


def test_where_the_queue_cannot_be_looked_into_nothing_is_known(batch: ScriptedAws) -> None:
    batch.answers("ListJobs", Refused("AccessDeniedException", 403))
    with pytest.raises(TargetUnavailable, match="ListJobs: AccessDenied"):
        TARGET.launch(order(TARGET, GIVEN))
    batch.answers("ListJobs", Refused("ClientException", 400, "no such queue"))
    assert TARGET.launch(order(TARGET, GIVEN)).refusal is Refusal.INVALID
    assert not batch.requests("SubmitJob")


def test_a_job_definition_is_registered_once(batch: ScriptedAws) -> None:
    ordered = order(
        TARGET, {"job_queue": "q", "vcpus": 4, "memory": 15000, "region": "eu-west-1"}, image="repo/train:1"
    )
    name = TARGET.calls(ordered)[0].parameters["jobDefinitionName"]
    batch.answers("DescribeJobDefinitions", {"jobDefinitions": []})
    batch.answers(
        "RegisterJobDefinition", {"jobDefinitionName": name, "jobDefinitionArn": "arn", "revision": 1}
    )
    assert TARGET.launch(ordered).workers == 1
    there = {"jobDefinitionName": name, "jobDefinitionArn": "arn", "revision": 1, "type": "container"}
    batch.answers("DescribeJobDefinitions", {"jobDefinitions": [there]})
    assert TARGET.launch(ordered).workers == 1
    assert len(batch.requests("RegisterJobDefinition")) == 1
    assert {request["jobDefinition"] for request in batch.requests("SubmitJob")} == {name}


def detail(**told: Any) -> dict[str, Any]:
    plain = {
        "jobName": "n",
        "jobId": "id",
        "jobQueue": "q",
        "status": "PENDING",
        "startedAt": 0,
        "jobDefinition": "d",
    }
    return {"jobs": [{**plain, **told}]}


def array(size: int, summary: dict[str, int], **told: Any) -> dict[str, Any]:
    return detail(arrayProperties={"size": size, "statusSummary": summary}, **told)


def test_an_arrays_workers_are_counted_and_those_that_wait_say_why(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", array(6, {"RUNNING": 2, "RUNNABLE": 1, "FAILED": 2, "SUCCEEDED": 1}))
    why = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no environment has 8 GPUs"
    batch.answers(
        "ListJobs",
        {
            "jobSummaryList": [
                summary("n", jobId="id:0", status="RUNNING"),
                summary("n", jobId="id:1", status="RUNNING"),
            ]
        },
        {"jobSummaryList": [summary("n", jobId="id:2", statusReason=why)]},
        {
            "jobSummaryList": [
                summary("n", jobId="id:3", status="FAILED", statusReason="hpo-pipe submit cancel"),
                summary(
                    "n", jobId="id:4", status="FAILED", container={"exitCode": 78, "reason": "Essential"}
                ),
            ]
        },
        {"jobSummaryList": [summary("n", jobId="id:5", status="SUCCEEDED")]},
    )
    look = TARGET.look(order(TARGET, GIVEN, 6), ["id"])
    assert look.counts == {
        JobState.RUNNING: 2,
        JobState.PENDING: 1,
        JobState.FAILED: 1,
        JobState.CANCELLED: 1,
        JobState.DONE: 1,
    }
    assert look.alive == 3
    told = {job.id: job.detail for job in look.jobs}
    assert told["id:2"] == f"RUNNABLE: {why}"
    assert told["id:4"] == "FAILED: Essential: exit code 78"
    statuses = [request["jobStatus"] for request in batch.requests("ListJobs")]
    assert statuses == ["RUNNING", "RUNNABLE", "FAILED", "SUCCEEDED"]


def test_right_after_the_request_all_workers_of_an_array_wait(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", array(5, {}, status="SUBMITTED"))
    assert TARGET.look(order(TARGET, GIVEN, 5), ["id"]).counts == {JobState.PENDING: 5}


def test_what_batch_has_forgotten_has_ended(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", {"jobs": []})
    assert TARGET.look(order(TARGET, GIVEN, 5), ["id"]).alive == 0
    assert TARGET.look(order(TARGET, GIVEN, 5), []).alive == 0
    assert TARGET.cancel(order(TARGET, GIVEN, 5), []) == 0
    assert list(TARGET.logs(order(TARGET, GIVEN, 5), [], None, 10)) == []


def test_only_those_that_wait_are_cancelled(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", array(3, {"RUNNING": 1, "RUNNABLE": 2}))
    batch.answers(
        "ListJobs",
        NONE,
        NONE,
        {"jobSummaryList": [summary("n", jobId="id:1"), summary("n", jobId="id:2")]},
    )
    batch.answers("CancelJob", {})
    assert TARGET.cancel(order(TARGET, GIVEN, 3), ["id"], pending_only=True) == 2
    assert [request["jobId"] for request in batch.requests("CancelJob")] == ["id:1", "id:2"]
    assert not batch.requests("TerminateJob")
    batch.answers("DescribeJobs", detail(status="RUNNING"))
    assert TARGET.cancel(order(TARGET, GIVEN), ["id"], pending_only=True) == 0


def test_cancelling_ends_the_array(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", array(3, {"RUNNING": 1, "RUNNABLE": 1, "SUCCEEDED": 1}))
    batch.answers("TerminateJob", {})
    assert TARGET.cancel(order(TARGET, GIVEN, 3), ["id"]) == 2
    assert batch.requests("TerminateJob") == [{"jobId": "id", "reason": "hpo-pipe submit cancel"}]
    batch.answers("DescribeJobs", detail(status="SUCCEEDED"))
    assert TARGET.cancel(order(TARGET, GIVEN), ["id"]) == 0


def test_a_refused_look_says_nothing_of_the_jobs(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", Refused("AccessDeniedException", 403))
    with pytest.raises(TargetUnavailable, match="DescribeJobs: AccessDeniedException: because"):
        TARGET.look(order(TARGET, GIVEN), ["id"])


def test_logs_are_those_of_each_childs_newest_attempt(batch: ScriptedAws) -> None:
    def child(index: int, **container: Any) -> dict[str, Any]:
        (job,) = detail(jobId=f"id:{index}", status="RUNNING", container=container)["jobs"]
        return dict(job)

    own_group = {"logDriver": "awslogs", "options": {"awslogs-group": "/own"}}
    described = [
        child(0, logStreamName="w/0"),
        child(1, logStreamName="w/1", logConfiguration=own_group),
        child(2),
    ]
    batch.answers("DescribeJobs", array(3, {"RUNNING": 3}), {"jobs": described})
    running = [summary("n", jobId=f"id:{index}", status="RUNNING") for index in range(3)]
    batch.answers("ListJobs", {"jobSummaryList": running}, NONE)
    lines = [{"timestamp": index, "message": f"line {index}\n"} for index in range(3)]
    batch.answers(
        "GetLogEvents",
        {"events": [], "nextBackwardToken": "b/1"},
        {"events": lines, "nextBackwardToken": "b/2"},
        Refused("ResourceNotFoundException"),
    )
    found = list(TARGET.logs(order(TARGET, GIVEN, 3), ["id"], None, 2))
    assert found == ["==> id:0 <==", "line 1", "line 2", "==> id:1 <=="]
    asked = [(told["logGroupName"], told["logStreamName"]) for told in batch.requests("GetLogEvents")]
    assert asked == [("/aws/batch/job", "w/0"), ("/aws/batch/job", "w/0"), ("/own", "w/1")]
    assert batch.requests("GetLogEvents")[1]["nextToken"] == "b/1"
    batch.answers("DescribeJobs", array(3, {"RUNNING": 3}), {"jobs": described[:1]})
    batch.answers("GetLogEvents", Refused("AccessDeniedException"))
    with pytest.raises(TargetUnavailable, match="GetLogEvents: AccessDenied"):
        list(TARGET.logs(order(TARGET, GIVEN, 3), ["id"], "id:0", 2))


def test_logs_of_a_job_of_another_submission(batch: ScriptedAws) -> None:
    batch.answers("DescribeJobs", array(3, {}))
    with pytest.raises(UserError, match="job 'other:1' is not of this submission"):
        list(TARGET.logs(order(TARGET, GIVEN, 3), ["id"], "other:1", 10))


@pytest.mark.parametrize(
    ("status_reason", "reason", "code", "action"),
    [
        ("Host EC2 (instance i-0abc) terminated.", "", None, "RETRY"),
        ("Task failed to start", "CannotPullContainerError: timeout", None, "RETRY"),
        ("Task failed to start", "ResourceInitializationError: secrets", None, "RETRY"),
        ("Essential container in task exited", "", 75, "RETRY"),
        ("Essential container in task exited", "Exited", 0, "EXIT"),
        ("Essential container in task exited", "Exited", 78, "EXIT"),
        ("Essential container in task exited", "OutOfMemoryError: killed", 137, "EXIT"),
    ],
)
def test_what_batch_starts_again(status_reason: str, reason: str, code: int | None, action: str) -> None:
    """By the rules' documented reading: in order, a trailing star, what a rule does not name goes."""
    told = {
        "onStatusReason": status_reason,
        "onReason": reason,
        "onExitCode": "" if code is None else str(code),
    }

    def fits(rule: Any) -> bool:
        named = [(told[name], glob) for name, glob in rule.items() if name != "action"]
        return all(text.startswith(glob[:-1]) if glob.endswith("*") else text == glob for text, glob in named)

    assert next(rule["action"] for rule in EVALUATE_ON_EXIT if fits(rule)) == action
    assert len(EVALUATE_ON_EXIT) <= 5
