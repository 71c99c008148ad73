"""What ``submit sagemaker`` makes of SageMaker's answers: quotas, names that are taken, jobs in every state."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hpo_pipe.launch import aws
from hpo_pipe.launch.target import JobState, Launched, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.sagemaker import LAUNCH_S, TARGET, SageMaker
from storage_schema.errors import UserError
from tests.servers.scripted_aws import LOST, Refused, ScriptedAws, scripted
from tests.unit.launch.orders import order

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GIVEN: dict[str, Any] = {
    "instance_type": ["ml.g5.xlarge"],
    "role_arn": "arn:aws:iam::111122223333:role/hpo-pipe-worker",
    "region": "eu-west-1",
}
AT = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:training-job/"
CREATED = {"TrainingJobArn": f"{ARN}x"}
QUOTA = Refused("ResourceLimitExceeded", 400, "The account-level service limit 'ml.g5.xlarge' is 2 Instances")
TAKEN = Refused("ResourceInUse", 400, "Training job names must be unique within an AWS account and region")


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAws]:
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    with scripted("sagemaker", monkeypatch) as server:
        server.answers("ListTrainingJobs", listing())
        server.answers("CreateTrainingJob", CREATED)
        yield server


def made(workers: int = 3) -> Any:
    return order(TARGET, GIVEN, workers, image=IMAGE, hiring="spot")


def told(name: str, status: str = "InProgress", second: str = "Training") -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": ARN + name,
        "CreationTime": AT,
        "TrainingJobStatus": status,
        "SecondaryStatus": second,
    }


def listing(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"TrainingJobSummaries": list(jobs), **more}


def described(name: str, status: str, second: str, **more: Any) -> dict[str, Any]:
    return {
        **told(name, status, second),
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {},
        "StoppingCondition": {},
        **more,
    }


def test_a_job_of_that_name_was_started_before(sagemaker: ScriptedAws) -> None:
    exists = Refused("ValidationException", 400, "Training job with name hpo already exists")
    sagemaker.answers("CreateTrainingJob", TAKEN, exists, CREATED)
    ordered = made()
    names = tuple(ordered.job_name(index) for index in range(3))
    assert TARGET.launch(ordered) == Launched(jobs=names, workers=3)
    assert [request["TrainingJobName"] for request in sagemaker.requests("CreateTrainingJob")] == list(names)


def test_an_answer_that_was_lost_is_asked_for_again_and_the_name_is_taken(sagemaker: ScriptedAws) -> None:
    sagemaker.answers("CreateTrainingJob", LOST, TAKEN)
    assert TARGET.launch(made(1)).workers == 1
    assert len(sagemaker.requests("CreateTrainingJob")) == 2


def test_a_request_that_the_service_failed_over_may_have_come_through(sagemaker: ScriptedAws) -> None:
    ordered = made(2)
    failure = Refused("InternalFailure", 500)
    sagemaker.answers("CreateTrainingJob", failure, failure, CREATED)
    sagemaker.answers("DescribeTrainingJob", described(ordered.job_name(0), "InProgress", "Starting"))
    assert TARGET.launch(ordered).workers == 2
    absent = Refused("ValidationException", 400, "Requested resource not found.")
    sagemaker.answers("CreateTrainingJob", failure)
    sagemaker.answers("DescribeTrainingJob", absent)
    found = TARGET.launch(ordered)
    assert (found.workers, found.refusal) == (0, Refusal.THROTTLED)


def test_a_quota_leaves_those_that_were_started(sagemaker: ScriptedAws) -> None:
    sagemaker.answers("CreateTrainingJob", CREATED, CREATED, QUOTA)
    ordered = made(5)
    found = TARGET.launch(ordered)
    assert found.jobs == (ordered.job_name(0), ordered.job_name(1))
    assert (found.workers, found.refusal) == (2, Refusal.QUOTA)
    assert found.message == f"ResourceLimitExceeded: {QUOTA.message}"
    assert len(sagemaker.requests("CreateTrainingJob")) == 3, "nobody asks for the rest"


def test_a_quota_that_an_earlier_launch_used_up_does_not_hide_its_jobs(sagemaker: ScriptedAws) -> None:
    ordered = made(3)
    sagemaker.answers("CreateTrainingJob", QUOTA)
    sagemaker.answers("ListTrainingJobs", listing(told(ordered.job_name(0)), told(ordered.job_name(2))))
    found = TARGET.launch(ordered)
    assert found.jobs == (ordered.job_name(0), ordered.job_name(2))
    assert (found.workers, found.refusal) == (2, Refusal.QUOTA)
    sagemaker.answers("ListTrainingJobs", listing(*(told(ordered.job_name(i)) for i in range(3))))
    assert TARGET.launch(ordered).refusal is None, "all are there"


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (Refused("ThrottlingException", 400, "Rate exceeded"), Refusal.THROTTLED),
        (Refused("InternalFailure", 500), Refusal.THROTTLED),
        (Refused("CapacityError", 400), Refusal.CAPACITY),
        (Refused("AccessDeniedException", 400), Refusal.DENIED),
        (Refused("ValidationException", 400, "Could not assume role"), Refusal.INVALID),
    ],
)
def test_refusals_are_answers(sagemaker: ScriptedAws, answer: Refused, meaning: Refusal) -> None:
    sagemaker.answers("CreateTrainingJob", answer)
    sagemaker.answers("DescribeTrainingJob", Refused("ValidationException", 400, "not found"))
    found = TARGET.launch(made())
    assert (found.jobs, found.workers, found.refusal) == ((), 0, meaning)
    retried = 2 if meaning is Refusal.THROTTLED else 1
    assert len(sagemaker.requests("CreateTrainingJob")) == retried


def test_where_nothing_can_be_seen_nothing_is_known(sagemaker: ScriptedAws) -> None:
    sagemaker.answers("CreateTrainingJob", Refused("AccessDeniedException", 400, "not you"))
    sagemaker.answers("ListTrainingJobs", Refused("AccessDeniedException", 400, "nor this"))
    with pytest.raises(
        TargetUnavailable, match=r"CreateTrainingJob: .*not you; what there is cannot be seen: "
    ):
        TARGET.launch(made())
    sagemaker.answers("CreateTrainingJob", LOST)
    with pytest.raises(TargetUnavailable):
        TARGET.launch(made())


def test_a_right_that_is_missing_is_named(sagemaker: ScriptedAws) -> None:
    listing_denied = r"ListTrainingJobs: .*not you; the right sagemaker:ListTrainingJobs is missing"
    sagemaker.answers("ListTrainingJobs", Refused("AccessDeniedException", 400, "not you"))
    for ask in (TARGET.look, TARGET.cancel):
        with pytest.raises(TargetUnavailable, match=listing_denied):
            ask(made(), [])
    said = "not authorized to perform: sagemaker:ListTrainingJobs on"
    sagemaker.answers("ListTrainingJobs", Refused("AccessDeniedException", 400, said))
    with pytest.raises(TargetUnavailable, match=f"{said}$"):
        TARGET.look(made(), [])
    sagemaker.answers("ListTrainingJobs", Refused("ExpiredTokenException", 400, "too late"))
    with pytest.raises(TargetUnavailable, match=r"too late$"):
        TARGET.look(made(), [])
    name = made().job_name(0)
    sagemaker.answers("ListTrainingJobs", listing(told(name)))
    sagemaker.answers("StopTrainingJob", Refused("AccessDeniedException", 400, "not you"))
    with pytest.raises(TargetUnavailable, match="the right sagemaker:StopTrainingJob is missing, which"):
        TARGET.cancel(made(), [name])


def test_a_launch_ends_before_another_one_takes_it_over(sagemaker: ScriptedAws) -> None:
    class Clock:
        at = 0.0

        def monotonic(self) -> float:
            self.at += LAUNCH_S / 2
            return self.at

    found = SageMaker(Clock()).launch(made(9))  # type: ignore[arg-type]
    assert 0 < found.workers < 9
    assert found.refusal is Refusal.THROTTLED


@pytest.mark.parametrize(
    ("status", "second", "state"),
    [
        ("InProgress", "Starting", JobState.PENDING),
        ("InProgress", "Pending", JobState.PENDING),
        ("InProgress", "Downloading", JobState.PENDING),
        ("InProgress", "Interrupted", JobState.PENDING),
        ("InProgress", "Restarting", JobState.PENDING),
        ("InProgress", "Training", JobState.RUNNING),
        ("InProgress", "Uploading", JobState.RUNNING),
        ("Stopping", "Stopping", JobState.RUNNING),
        ("Stopped", "Stopped", JobState.CANCELLED),
        ("Stopped", "MaxRuntimeExceeded", JobState.DONE),
        ("Stopped", "MaxWaitTimeExceeded", JobState.FAILED),
        ("Completed", "Completed", JobState.DONE),
        ("Failed", "Failed", JobState.FAILED),
    ],
)
def test_what_a_state_means(sagemaker: ScriptedAws, status: str, second: str, state: JobState) -> None:
    ordered = made(1)
    name = ordered.job_name(0)
    sagemaker.answers("ListTrainingJobs", listing(told(name, status, second)))
    sagemaker.answers(
        "DescribeTrainingJob",
        described(name, status, second, FailureReason="AlgorithmError: 78", BillableTimeInSeconds=61),
    )
    look = TARGET.look(ordered, ())
    assert look.counts == {state: 1}
    (job,) = look.jobs
    assert job.detail.startswith(status if status == second else f"{status}, {second}")
    if status == "Failed":
        assert job.detail == "Failed: AlgorithmError: 78: 61 s billed"


def test_jobs_are_found_by_their_names_page_after_page(sagemaker: ScriptedAws) -> None:
    ordered = made(2)
    others = (told(f"{ordered.name}-7"), told(f"{ordered.name}-0-again"))
    sagemaker.answers(
        "ListTrainingJobs",
        listing(*others, told(ordered.job_name(0)), NextToken="t"),
        listing(told(ordered.job_name(1), "InProgress", "Starting")),
    )
    assert TARGET.look(ordered, ()).counts == {JobState.RUNNING: 1, JobState.PENDING: 1}
    first, second = sagemaker.requests("ListTrainingJobs")
    assert first["NameContains"] == f"{ordered.name}-"
    assert second["NextToken"] == "t"


def test_a_job_that_is_not_listed_yet_is_asked_for(sagemaker: ScriptedAws) -> None:
    ordered = made(2)
    names = [ordered.job_name(0), ordered.job_name(1)]
    sagemaker.answers(
        "DescribeTrainingJob",
        described(names[0], "InProgress", "Starting"),
        Refused("ValidationException", 400, "Requested resource not found."),
    )
    assert TARGET.look(ordered, names).counts == {JobState.PENDING: 1}


def test_cancelling_stops_what_has_not_ended(sagemaker: ScriptedAws) -> None:
    ordered = made(4)
    names = [ordered.job_name(index) for index in range(4)]
    states = [
        ("InProgress", "Training"),
        ("InProgress", "Starting"),
        ("Completed", "Completed"),
        ("InProgress", "Training"),
    ]
    sagemaker.answers(
        "ListTrainingJobs", listing(*(told(n, *state) for n, state in zip(names, states, strict=True)))
    )
    ended = Refused("ValidationException", 400, "the job is in status Completed")
    sagemaker.answers("StopTrainingJob", {}, ended, {})
    assert TARGET.cancel(ordered, names) == 2, "one has ended meanwhile"
    assert {request["TrainingJobName"] for request in sagemaker.requests("StopTrainingJob")} == {
        names[0],
        names[1],
        names[3],
    }
    sagemaker.asked.clear()
    assert TARGET.cancel(ordered, (), pending_only=True) == 1
    assert sagemaker.requests("StopTrainingJob") == [{"TrainingJobName": names[1]}]
    sagemaker.answers("StopTrainingJob", Refused("AccessDeniedException", 400))
    with pytest.raises(TargetUnavailable, match="StopTrainingJob: AccessDenied"):
        TARGET.cancel(ordered, ())


def test_logs_of_a_job_of_another_submission(sagemaker: ScriptedAws) -> None:
    with pytest.raises(UserError, match="job 'other' is not of this submission"):
        list(TARGET.logs(made(), (), "other", 10))
