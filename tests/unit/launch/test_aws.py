"""What errors of AWS mean, and that no request waits for ever; shared by the targets that ask AWS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from hpo_pipe.launch import aws
from hpo_pipe.launch.target import ApiCall, Refusal, TargetUnavailable
from storage_schema.errors import UserError
from tests.servers.s3 import free_port, lead_to

HERE = {"region": "eu-west-1", "profile": None}


def refused(code: str, status: int = 400, message: str = "because") -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "RunInstances")


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("ResourceLimitExceeded", 400, Refusal.QUOTA),
        ("LimitExceeded", 400, Refusal.QUOTA),
        ("LimitExceededException", 400, Refusal.QUOTA),
        ("ServiceQuotaExceededException", 402, Refusal.QUOTA),
        ("MaxSpotInstanceCountExceeded", 400, Refusal.QUOTA),
        ("MaxSpotFleetRequestCountExceeded", 400, Refusal.QUOTA),
        ("VcpuLimitExceeded", 400, Refusal.QUOTA),
        ("InstanceLimitExceeded", 400, Refusal.QUOTA),
        ("CapacityError", 400, Refusal.CAPACITY),
        ("InsufficientInstanceCapacity", 500, Refusal.CAPACITY),
        ("InsufficientCapacityException", 400, Refusal.CAPACITY),
        ("InsufficientFreeAddressesInSubnet", 400, Refusal.CAPACITY),
        ("UnfulfillableCapacity", 400, Refusal.CAPACITY),
        ("ThrottlingException", 400, Refusal.THROTTLED),
        ("Throttling", 400, Refusal.THROTTLED),
        ("TooManyRequestsException", 429, Refusal.THROTTLED),
        ("RequestLimitExceeded", 503, Refusal.THROTTLED),
        ("RequestLimitExceeded", 400, Refusal.THROTTLED),
        ("ServerException", 500, Refusal.THROTTLED),
        ("503", 503, Refusal.THROTTLED),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("AccessDenied", 403, Refusal.DENIED),
        ("UnauthorizedOperation", 403, Refusal.DENIED),
        ("UnrecognizedClientException", 400, Refusal.DENIED),
        ("ExpiredTokenException", 400, Refusal.DENIED),
        ("ExpiredToken", 400, Refusal.DENIED),
        ("SomethingNew", 403, Refusal.DENIED),
        ("ValidationException", 400, Refusal.INVALID),
        ("ClientException", 400, Refusal.INVALID),
        ("InvalidParameterValue", 400, Refusal.INVALID),
        ("NeverHeardOf", 418, Refusal.INVALID),
    ],
)
def test_what_a_refusal_means(code: str, status: int, meaning: Refusal) -> None:
    found, message = aws.refusal_of(refused(code, status))
    assert found is meaning
    assert message == f"{code}: because"


def test_what_a_provider_says_is_one_bounded_line_without_secrets() -> None:
    _, message = aws.refusal_of(refused("X", message="a\nb \x1b[2J AKIAABCDEFGHIJKLMNOP " + "long " * 200))
    assert "\n" not in message and "\x1b" not in message
    assert "AKIA" not in message
    assert len(message) <= aws.MAX_MESSAGE


def test_a_service_that_is_not_there_says_nothing_of_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(f"http://127.0.0.1:{free_port()}", monkeypatch)
    with pytest.raises(TargetUnavailable, match="Could not connect"):
        aws.ask(aws.client("batch", HERE, attempts=1), "ListJobs", {"jobQueue": "gpus"})


def test_no_credentials_are_the_users_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:1", monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match=r"no credentials for AWS: .*get-caller-identity"):
        aws.ask(aws.client("batch", HERE), "ListJobs", {"jobQueue": "gpus"})


def test_a_region_is_found_as_the_cli_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:1", monkeypatch)
    assert aws.placed({"region": None, "profile": None}) == {"region": "us-east-1", "profile": None}
    assert aws.placed({"region": "eu-west-1"})["region"] == "eu-west-1"
    with pytest.raises(UserError, match="--region is 'europe', expected a region such as eu-west-1"):
        aws.placed({"region": "europe"})
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(UserError, match="--region is missing"):
        aws.placed({})


def test_a_profile_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:1", monkeypatch)
    with pytest.raises(UserError, match="--profile: the profile 'team' is not in"):
        aws.placed({"profile": "team", "region": "eu-west-1"})
    with pytest.raises(TargetUnavailable, match="the profile 'team' is not in"):
        aws.client("batch", {"region": "eu-west-1", "profile": "team"})


def test_clients_slow_down_and_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:1", monkeypatch)
    config = aws.client("sagemaker", HERE).meta.config
    assert config.retries == {"mode": "adaptive", "total_max_attempts": aws.ATTEMPTS}
    assert (config.connect_timeout, config.read_timeout) == (aws.CONNECT_S, aws.READ_S)
    assert "hpo-pipe" in config.user_agent_extra


def test_mistakes_in_a_request_are_told_by_the_option_that_made_them() -> None:
    call = ApiCall(
        service="sagemaker",
        operation="CreateTrainingJob",
        parameters={
            "TrainingJobName": "hpo-x",
            "RoleArn": "no arn",
            "OutputDataConfig": {"S3OutputPath": "s3://b"},
            "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": -1},
            "StoppingCondition": {},
        },
    )
    options = {"RoleArn": "--role-arn", "ResourceConfig.VolumeSizeInGB": "--volume-size-in-gb"}
    with pytest.raises(UserError) as error:
        aws.check_calls([call, call], options)
    lines = str(error.value).split("\n")
    assert len(lines) == 2
    assert lines[0].startswith("--role-arn (CreateTrainingJob RoleArn) ")
    assert lines[1].startswith(
        "--volume-size-in-gb (CreateTrainingJob ResourceConfig.VolumeSizeInGB) is -1, expected"
    )


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({f"t{i}": "x" for i in range(51)}, "51 tags"),
        ({"team": "a;b"}, "--tag 'team'"),
        ({"t" * 129: "x"}, "at most 128"),
        ({"team": "x" * 257}, "at most 256"),
    ],
)
def test_tags_that_aws_does_not_take(tags: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        aws.tags_of(tags)
    assert aws.tags_of({"hpo-pipe:study": "résnet 5", "cost.center": "a/b=c+d-@"})
