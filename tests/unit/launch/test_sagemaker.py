"""``submit sagemaker``: the exact requests, and what is refused before anybody is asked."""

from typing import Any

import pytest
from botocore.validate import ParamValidator

from hpo_pipe.launch import aws
from hpo_pipe.launch.order import Offer
from hpo_pipe.launch.target import ApiCall
from hpo_pipe.launch.targets.sagemaker import TARGET
from storage_schema.errors import UserError
from storage_schema.sagemaker import worker_arguments
from tests.servers.scripted_aws import model
from tests.unit.launch.orders import check_golden, in_region, order

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
ROLE = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
GIVEN: dict[str, Any] = {"instance_type": ["ml.g5.xlarge", "ml.g4dn.xlarge"], "role_arn": ROLE}
FULL: dict[str, Any] = {
    "instance_type": ["ml.p3.2xlarge"],
    "role_arn": ROLE,
    "volume_size_in_gb": 200,
    "max_runtime_in_seconds": 36_000,
    "max_pending_time_in_seconds": 7200,
    "maximum_retry_attempts": 3,
    "subnets": ["subnet-0abc", "subnet-0def"],
    "security_group_ids": ["sg-0abc"],
    "volume_kms_key_id": "alias/training",
    "kms_key_id": "1234abcd-12ab-34cd-56ef-1234567890ab",
    "s3_output_path": "s3://bucket/output",
}
SECRETS = (("HF_TOKEN", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hf-AbCdEf#token"),)


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    in_region(monkeypatch)


def made(given: Any, workers: int = 1, **plan: Any) -> Any:
    return order(TARGET, given, workers, **{"image": IMAGE, **plan})


def test_managed_spot_jobs_one_for_each_worker() -> None:
    ordered = made(GIVEN, 2, hiring="spot", secrets=SECRETS, code="cd" * 32, max_runtime_s=7200.0)
    check_golden("sagemaker_spot", TARGET.calls(ordered))


def test_on_demand_within_a_vpc_with_all_options() -> None:
    ordered = made(FULL, hiring="on-demand", image="registry.example.com/train@sha256:" + "0" * 64)
    check_golden("sagemaker_vpc", TARGET.calls(ordered))


def test_the_job_carries_the_workers_options() -> None:
    arguments = ("--drain", "--no-coordinator", "--withhold", "AWS_*", "--withhold=GH_*", "--name", "w")
    command = ("--", "python", "train.py", "--lr", "{lr}")
    ordered = made(GIVEN, slots=2, gpus_per_trial=1, secrets=SECRETS, arguments=(*arguments, *command))
    found = worker_arguments(TARGET.calls(ordered)[0].parameters["HyperParameters"])
    end = found.index("--")
    assert found[end + 1 :] == ["s3://bucket/studies/first", *command[1:]]
    assert set(found[:end]) == {
        "--drain",
        "--no-coordinator",
        "--withhold=AWS_*",
        "--withhold=GH_*",
        "--name=w",
        "--slots=2",
        "--gpus-per-trial=1",
        "--idle-timeout=300",
        "--grace=120",
        f"--study-sha256={'ab' * 32}",
        f"--secret=HF_TOKEN={SECRETS[0][1]}",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--slotz", "2"), "worker option '--slotz' (did you mean '--slots'?)"),
        (("python", "train.py"), "worker option 'python'"),
        (("--slots",), "worker option --slots: its value is missing"),
    ],
)
def test_options_that_a_job_cannot_carry(arguments: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        TARGET.calls(made(GIVEN, arguments=arguments))
    assert words in str(error.value)


def test_offers_are_the_types_in_the_users_order_and_then_on_demand() -> None:
    def offers(hiring: str) -> list[str]:
        ordered = made(GIVEN, hiring=hiring)
        return [str(offer) for offer in TARGET.offers(ordered.settings, ordered.plan)]

    assert offers("") == ["ml.g5.xlarge on-demand", "ml.g4dn.xlarge on-demand"]
    assert offers("spot-then-on-demand") == [
        "ml.g5.xlarge spot",
        "ml.g4dn.xlarge spot",
        "ml.g5.xlarge on-demand",
        "ml.g4dn.xlarge on-demand",
    ]
    second = order(TARGET, GIVEN, 1, place=1, image=IMAGE, hiring="spot")
    assert second.offer == Offer(instance_type="ml.g4dn.xlarge", lifecycle="spot")
    assert TARGET.calls(second)[0].parameters["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"instance_type": []}, {}, "--instance-type is missing, expected something like ml.g5.xlarge"),
        (
            {"instance_type": ["g5.xlarge"]},
            {},
            "--instance-type is 'g5.xlarge', expected something like ml.g5",
        ),
        (
            {"instance_type": ["ml.g5.xlarge"] * 2},
            {},
            "--instance-type 'ml.g5.xlarge' is given twice",
        ),
        ({"role_arn": None}, {}, "--role-arn is missing"),
        ({"role_arn": "hpo-pipe-worker"}, {}, "--role-arn is 'hpo-pipe-worker'"),
        ({"max_runtime_in_seconds": 28 * 86_400 + 1}, {}, "--max-runtime-in-seconds is 2419201"),
        ({"max_wait_time_in_seconds": 90_000}, {}, "--max-wait-time-in-seconds goes with --spot"),
        (
            {"max_wait_time_in_seconds": 86_399},
            {"hiring": "spot"},
            "--max-wait-time-in-seconds is 86399, expected at least --max-runtime-in-seconds, 86400",
        ),
        (
            {},
            {"max_runtime_s": 86_401.0},
            "--max-runtime is 86401 s, expected at most --max-runtime-in-seconds",
        ),
        (
            {"max_pending_time_in_seconds": 1799},
            {},
            "--max-pending-time-in-seconds is 1799, expected an integer",
        ),
        (
            {"max_pending_time_in_seconds": 1800, "instance_type": ["ml.g5.xlarge", "ml.c5.xlarge"]},
            {},
            "found ml.c5.xlarge",
        ),
        (
            {"maximum_retry_attempts": 31},
            {},
            "--maximum-retry-attempts is 31, expected an integer from 1 to 30",
        ),
        ({"maximum_retry_attempts": 0}, {}, "--maximum-retry-attempts is 0"),
        ({"volume_size_in_gb": 0}, {}, "--volume-size-in-gb is 0"),
        ({"volume_kms_key_id": "alias/x"}, {}, "--volume-kms-key-id: ml.g5.xlarge has disks of its own"),
        ({"kms_key_id": "a b"}, {}, "--kms-key-id is 'a b'"),
        ({"subnets": ["subnet-1"]}, {}, "--subnets and --security-group-ids go together"),
        ({"security_group_ids": [f"sg-{i}" for i in range(6)]}, {}, "--security-group-ids: 6 of them"),
        ({"subnets": ["vpc-1"]}, {}, "--subnets is 'vpc-1', expected something like subnet-0abc1234"),
        ({"s3_output_path": "https://bucket"}, {}, "--s3-output-path is 'https://bucket'"),
        (
            {"enable_network_isolation": True},
            {},
            "--enable-network-isolation: a worker meets its study in S3",
        ),
        ({}, {"image": ""}, "--image is missing"),
        ({}, {"image": "python:3.11"}, "expected one in ECR"),
        ({"region": "us-east-1"}, {}, "--image is in eu-west-1, expected --region, us-east-1"),
        ({}, {"url": "file:///data/first"}, "training jobs do not see this machine's folders"),
        ({}, {"env": (("SM_MODEL_DIR", "x"),)}, "--env SM_MODEL_DIR: names that begin with SM_"),
        ({}, {"secrets": (("A", "file:/a"),)}, "--secret A: expected an ARN"),
    ],
)
def test_settings_that_sagemaker_would_not_take(changes: Any, plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        made({**GIVEN, **changes}, **plan)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"env": (("A", "x" * 513),)}, "--env (CreateTrainingJob Environment.A) has 513 characters"),
        (
            {"env": tuple((f"V{i}", "x") for i in range(101))},
            "--env (CreateTrainingJob Environment) has 106 entries",
        ),
        ({"tags": tuple((f"t{i}", "x") for i in range(49))}, "--tag: 51 tags"),
        ({"tags": (("team", "a;b"),)}, "--tag 'team'"),
        ({"arguments": ("--name", "x" * 2501)}, "hyper-parameter 'name' has 2501 characters"),
    ],
)
def test_requests_that_sagemaker_would_not_take(plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        TARGET.calls(made(GIVEN, **plan))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("TrainingJobName",), "x" * 64),
        (("TrainingJobName",), "a_b"),
        (("RoleArn",), "arn:aws:iam::1:role/too-short-account"),
        (("AlgorithmSpecification", "TrainingInputMode"), "Files"),
        (("OutputDataConfig", "S3OutputPath"), "bucket/output"),
        (("OutputDataConfig", "CompressionType"), "ZIP"),
        (("OutputDataConfig", "KmsKeyId"), "a b"),
        (("ResourceConfig", "InstanceType"), "g5.xlarge"),
        (("ResourceConfig", "KeepAlivePeriodInSeconds"), 21_601),
        (("StoppingCondition", "MaxPendingTimeInSeconds"), 2_419_201),
        (("RetryStrategy",), {"MaximumRetryAttempts": 31}),
        (("VpcConfig",), {"Subnets": ["subnet-1"], "SecurityGroupIds": [f"sg-{i}" for i in range(6)]}),
        (("Environment",), {"1A": "x"}),
        (("Tags",), [{"Key": "k", "Value": "v" * 257}]),
        (("HyperParameters",), {"study": "x" * 2501}),
    ],
)
def test_what_the_sdk_would_send_is_refused(path: tuple[str, ...], value: Any) -> None:
    """Each of these passes botocore's own validation, and fails at the service, after credentials and minutes."""
    (call,) = TARGET.calls(made(GIVEN, hiring="spot"))
    parameters: dict[str, Any] = {**call.parameters}
    place = parameters
    for name in path[:-1]:
        place[name] = {**place[name]}
        place = place[name]
    place[path[-1]] = value
    shape = model("sagemaker").operation_model("CreateTrainingJob").input_shape
    assert not ParamValidator().validate(parameters, shape).has_errors()
    wrong = ApiCall(service="sagemaker", operation="CreateTrainingJob", parameters=parameters)
    with pytest.raises(UserError, match=path[-1]):
        aws.check_calls([wrong], {})
