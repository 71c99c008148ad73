"""``submit aws-batch``: the exact requests, and what is refused before anybody is asked."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.validate import ParamValidator

from hpo_pipe.launch import aws
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import ApiCall
from hpo_pipe.launch.targets.aws_batch import TARGET
from hpo_pipe.launch.targets.aws_batch.request import requests
from storage_schema.errors import UserError
from tests.servers.scripted_aws import model
from tests.unit.launch.orders import check_golden, in_region, order

ROLE = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
WITH_DEFINITION = {"job_queue": "gpus-spot", "job_definition": "hpo-worker:3"}
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
WITH_IMAGE = {
    "job_queue": "arn:aws:batch:eu-west-1:111122223333:job-queue/gpus",
    "vcpus": 4,
    "memory": 15000,
    "shared_memory_size": 4096,
    "job_role_arn": ROLE,
    "execution_role_arn": ROLE + "-pull",
    "share_identifier": "research",
    "scheduling_priority": 10,
    "attempts": 3,
    "attempt_duration_seconds": 86400,
    "container_stop_timeout": 120,
}
SECRETS = (
    ("HF_TOKEN", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hf-AbCdEf#token"),
    ("WANDB_API_KEY", "arn:aws:ssm:eu-west-1:111122223333:parameter/wandb"),
)


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    in_region(monkeypatch)


def made(given: dict[str, Any], workers: int = 1, **plan: Any) -> Order:
    return order(TARGET, given, workers, **plan)


def test_one_worker_is_a_plain_job() -> None:
    check_golden("aws_batch_plain", TARGET.calls(made(WITH_DEFINITION, hiring="spot", secrets=SECRETS)))


def test_many_workers_are_an_array_and_the_definition_is_named_by_its_content() -> None:
    ordered = made(
        WITH_IMAGE,
        8,
        image=IMAGE,
        gpus=4,
        gpus_per_trial=2,
        secrets=SECRETS,
        code="cd" * 32,
        max_runtime_s=7200.0,
    )
    calls = TARGET.calls(ordered)
    check_golden("aws_batch_array", calls)
    other = TARGET.calls(made({**WITH_IMAGE, "memory": 15001}, 8, image=IMAGE))
    assert other[0].parameters["jobDefinitionName"] != calls[0].parameters["jobDefinitionName"]
    again = TARGET.calls(made({**WITH_IMAGE, "attempts": 5}, 2, image=IMAGE, gpus=4, secrets=SECRETS))
    assert again[0] == calls[0], "what belongs to the job alone is not in the definition"


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"job_queue": None}, {}, "--job-queue is missing"),
        ({"job_queue": "gpus spot"}, {}, "--job-queue is 'gpus spot', expected something like gpus-spot"),
        (
            {"job_queue": "arn:aws:batch:us-east-1:111122223333:job-queue/q"},
            {},
            "--job-queue is in us-east-1",
        ),
        ({"job_definition": None}, {}, "--image or --job-definition"),
        ({}, {"image": IMAGE}, "--image or --job-definition"),
        ({"job_definition": "a:b"}, {}, "--job-definition is 'a:b'"),
        ({"attempts": 0}, {}, "--attempts is 0, expected an integer from 1 to 10"),
        ({"attempts": 11}, {}, "--attempts is 11, expected an integer from 1 to 10"),
        ({"attempts": True}, {}, "--attempts is True"),
        (
            {"attempt_duration_seconds": 59},
            {},
            "--attempt-duration-seconds is 59, expected an integer from 60",
        ),
        ({"attempt_duration_seconds": 3600}, {"max_runtime_s": 3599.0}, "expected at least 3629"),
        ({"share_identifier": "a-b"}, {}, "--share-identifier is 'a-b'"),
        ({"scheduling_priority": 5}, {}, "--scheduling-priority goes with --share-identifier"),
        ({"share_identifier": "a", "scheduling_priority": 10000}, {}, "--scheduling-priority is 10000"),
        ({"job_role_arn": ROLE}, {}, "--job-role-arn goes with --image"),
        ({"memory": 3}, {}, "--memory is 3"),
        ({"vcpus": 0}, {}, "--vcpus is 0"),
        ({"container_stop_timeout": 1}, {}, "--container-stop-timeout is 1"),
        ({}, {"hiring": "spot-then-on-demand"}, "--spot-then-on-demand: the queue decides"),
        ({}, {"env": (("AWS_BATCH_JOB_ID", "x"),)}, "reserved by AWS Batch"),
        ({"region": "nowhere"}, {}, "--region is 'nowhere'"),
    ],
)
def test_settings_that_batch_would_not_take(changes: Any, plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        made({**WITH_DEFINITION, **changes}, **plan)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"memory": None}, {}, "--memory is missing"),
        ({"job_role_arn": "arn:aws:iam::1:role/x"}, {}, "--job-role-arn is"),
        ({"execution_role_arn": None}, {"secrets": SECRETS}, "--secret needs --execution-role-arn"),
        ({}, {"secrets": (("A", "file:/a"),)}, "--secret A: expected an ARN"),
        ({}, {"url": "file:///data/first"}, "study file:///data/first: containers do not see"),
        ({}, {"image": "bad image"}, "--image is 'bad image'"),
    ],
)
def test_settings_with_an_image_that_batch_would_not_take(changes: Any, plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        made({**WITH_IMAGE, **changes}, **{"image": IMAGE, **plan})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("workers", "plan", "words"),
    [
        (10_001, {}, "--workers is 10001, expected 1 to 10,000"),
        (0, {}, "--workers is 0"),
        (1, {"tags": tuple((f"t{i}", "x") for i in range(49))}, "--tag: 51 tags"),
        (1, {"tags": (("team", "a;b"),)}, "--tag 'team'"),
        (1, {"env": (("A", "x" * 8000),)}, "--env: the job's command and variables have"),
    ],
)
def test_requests_that_batch_would_not_take(workers: int, plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        TARGET.calls(made(WITH_DEFINITION, workers, **plan))
    assert words in str(error.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        made({**WITH_DEFINITION, "attempts": 0, "memory": 1})
    assert len(str(error.value).split("\n")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"attempts": 0},
        {"attempts": 11},
        {"attempt_duration_seconds": 59},
        {"scheduling_priority": 5},
        {"scheduling_priority": 10_000, "share_identifier": "a"},
        {"scheduling_priority": -1, "share_identifier": "a"},
        {"share_identifier": "not alphanumeric"},
        {"memory": 3},
        {"vcpus": 0},
        {"job_queue": "gpus spot"},
        {"job_queue": "arn:aws:batch:us-east-1:111122223333:job-queue/q"},
        {"job_definition": "a:b:c"},
        {"job_definition": "x" * 129},
    ],
)
def test_what_the_sdk_would_send_is_refused(changes: Any) -> None:
    """botocore's model of Batch has next to no bounds: each of these would go out, and fail at the service."""
    ordered = made(WITH_DEFINITION)
    wrong = replace(ordered, settings={**ordered.settings, **changes})
    sent = requests(wrong)[-1]
    shape = model("batch").operation_model("SubmitJob").input_shape
    assert not ParamValidator().validate(sent.parameters, shape).has_errors()
    with pytest.raises(UserError):
        made({**WITH_DEFINITION, **changes})


@pytest.mark.parametrize(
    ("place", "member", "value"),
    [
        (0, "type", "containers"),
        (0, "platformCapabilities", ["ec2"]),
        (0, "containerProperties", {"resourceRequirements": [{"type": "GPUS", "value": "1"}]}),
        (0, "containerProperties", {"logConfiguration": {"logDriver": "cloudwatch"}}),
        (1, "retryStrategy", {"evaluateOnExit": [{"onExitCode": "75", "action": "AGAIN"}]}),
        (1, "containerOverrides", {"resourceRequirements": [{"type": "gpu", "value": "1"}]}),
        (1, "dependsOn", [{"jobId": "1", "type": "NTON"}]),
        (1, "tags", {f"t{i}": "x" for i in range(51)}),
        (1, "tags", {"t" * 129: "x"}),
        (1, "tags", {"t": "x" * 257}),
    ],
)
def test_what_the_sdk_would_send_is_refused_by_the_model(place: int, member: str, value: Any) -> None:
    call = TARGET.calls(made(WITH_IMAGE, 2, image=IMAGE))[place]
    assert isinstance(call, ApiCall)
    wrong = ApiCall(service="batch", operation=call.operation, parameters={**call.parameters, member: value})
    shape = model("batch").operation_model(call.operation).input_shape
    assert not ParamValidator().validate(wrong.parameters, shape).has_errors()
    with pytest.raises(UserError, match=member):
        aws.check_calls([wrong], {})
