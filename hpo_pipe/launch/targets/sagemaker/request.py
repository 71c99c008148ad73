"""What SageMaker is asked for: one training job for each worker. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_pipe.launch.aws import check_calls, tags_of
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import ApiCall
from hpo_pipe.launch.targets.sagemaker.options import DAY_S, is_in_ecr
from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest
from storage_schema.machine import SPOT
from storage_schema.sagemaker import FLAG, MANY, OPTIONS, hyperparameters

GRACE_S = 120.0
"""Between SIGTERM and SIGKILL of a job that is stopped, interrupted, or over its time."""
_CHANGED_BY = {
    "RoleArn": "--role-arn",
    "AlgorithmSpecification": "--image",
    "OutputDataConfig.KmsKeyId": "--kms-key-id",
    "OutputDataConfig": "--s3-output-path",
    "ResourceConfig.InstanceType": "--instance-type",
    "ResourceConfig.VolumeSizeInGB": "--volume-size-in-gb",
    "ResourceConfig.VolumeKmsKeyId": "--volume-kms-key-id",
    "VpcConfig.Subnets": "--subnets",
    "VpcConfig.SecurityGroupIds": "--security-group-ids",
    "StoppingCondition.MaxRuntimeInSeconds": "--max-runtime-in-seconds",
    "StoppingCondition.MaxWaitTimeInSeconds": "--max-wait-time-in-seconds",
    "StoppingCondition.MaxPendingTimeInSeconds": "--max-pending-time-in-seconds",
    "RetryStrategy": "--maximum-retry-attempts",
    "Environment": "--env",
    "Tags": "--tag",
}


def requests(order: Order) -> tuple[ApiCall, ...]:
    """Return CreateTrainingJob for each worker, checked.

    Raises:
        UserError: AWS would not take them.
    """
    common = _common(order)
    calls = tuple(
        ApiCall(
            service="sagemaker",
            operation="CreateTrainingJob",
            parameters={"TrainingJobName": order.job_name(index), **common},
        )
        for index in range(order.workers)
    )
    check_calls(
        calls[:1] + calls[-1:], _CHANGED_BY
    )  # they differ in the name, and the last one is the longest
    return calls


def _common(order: Order) -> dict[str, Json]:
    settings, plan = order.settings, order.plan
    algorithm: dict[str, Json] = {"TrainingImage": plan.image, "TrainingInputMode": "File"}
    if not is_in_ecr(plan.image):
        algorithm["TrainingImageConfig"] = {"TrainingRepositoryAccessMode": "Vpc"}
    output: dict[str, Json] = {
        "S3OutputPath": settings["s3_output_path"] or f"s3://{plan.url.partition('://')[2]}/sagemaker",
        "CompressionType": "NONE",  # no archive of an empty folder
    }
    resources: dict[str, Json] = {
        "InstanceType": order.offer.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": settings["volume_size_in_gb"],
    }
    if settings["kms_key_id"] is not None:
        output["KmsKeyId"] = settings["kms_key_id"]
    if settings["volume_kms_key_id"] is not None:
        resources["VolumeKmsKeyId"] = settings["volume_kms_key_id"]
    found: dict[str, Json] = {
        "HyperParameters": _hyperparameters(order),
        "AlgorithmSpecification": algorithm,
        "RoleArn": settings["role_arn"],
        "OutputDataConfig": output,
        "ResourceConfig": resources,
        "StoppingCondition": _stopping(order),
        "EnableManagedSpotTraining": order.offer.lifecycle == SPOT,
        "Environment": order.worker_environment(settings["region"]),
        "Tags": [{"Key": name, "Value": value} for name, value in tags_of(order.tags()).items()],
    }
    if settings["subnets"]:
        found["VpcConfig"] = {
            "Subnets": settings["subnets"],
            "SecurityGroupIds": settings["security_group_ids"],
        }
    if settings["maximum_retry_attempts"] is not None:
        found["RetryStrategy"] = {"MaximumRetryAttempts": settings["maximum_retry_attempts"]}
    return found


def _stopping(order: Order) -> dict[str, Json]:
    settings = order.settings
    longest = settings["max_runtime_in_seconds"]
    stopping: dict[str, Json] = {"MaxRuntimeInSeconds": longest}
    if order.offer.lifecycle == SPOT:  # the service refuses it otherwise
        wait = settings["max_wait_time_in_seconds"] or longest + DAY_S
        stopping["MaxWaitTimeInSeconds"] = wait
    if settings["max_pending_time_in_seconds"] is not None:
        stopping["MaxPendingTimeInSeconds"] = settings["max_pending_time_in_seconds"]
    return stopping


def _hyperparameters(order: Order) -> dict[str, str]:
    url, *arguments = order.worker_arguments(GRACE_S)
    options, command = _by_name(arguments)
    return hyperparameters(url, options, command)


def _by_name(arguments: Sequence[str]) -> tuple[dict[str, str | bool | list[str]], list[str]]:
    """Return a worker's options by their names as hyper-parameters, and the command behind ``--``.

    Raises:
        UserError: an option that a training job cannot carry.
    """
    known = {option.flag: name for name, option in OPTIONS.items()}
    negative = {option.negative: name for name, option in OPTIONS.items() if option.negative}
    found: dict[str, str | bool | list[str]] = {}
    left = list(arguments)
    while left:
        given = left.pop(0)
        if given == "--":
            return found, left
        flag, equals, value = given.partition("=")
        if flag in negative:
            found[negative[flag]] = False
            continue
        if flag not in known:
            allowed = ", ".join(sorted([*known, *negative]))
            raise UserError(
                f"worker option {flag[:80]!r}{nearest(flag, known)}: a training job carries {allowed}"
            )
        name = known[flag]
        kind = OPTIONS[name].kind
        if kind == FLAG:
            found[name] = True
            continue
        if not equals:
            if not left:
                raise UserError(f"worker option {flag}: its value is missing")
            value = left.pop(0)
        before = found.get(name)
        if kind == MANY:
            found[name] = [*(before if isinstance(before, list) else ()), value]
        else:
            found[name] = value
    return found, []
