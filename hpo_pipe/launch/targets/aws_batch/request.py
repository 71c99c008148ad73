"""What AWS Batch is asked for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from hpo_pipe.launch.aws import check_calls, tags_of
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import ApiCall
from storage_schema.codec import Json
from storage_schema.errors import UserError

MAX_ARRAY = 10_000
MAX_OVERRIDES = 8192
"""Bytes of all that a job changes of its definition: ECS takes no more."""
EVALUATE_ON_EXIT: tuple[Mapping[str, str], ...] = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "CannotPullContainerError*", "action": "RETRY"},
    {"onStatusReason": "Task failed to start*", "action": "RETRY"},
    {"onExitCode": "75", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
)
"""The first rule that fits counts, and where none does Batch retries: a lost machine, an image that could not be
pulled, and a worker that was interrupted start again; all else has ended."""
_OPTIONS = {
    "jobQueue": "--job-queue",
    "jobDefinition": "--job-definition",
    "retryStrategy.attempts": "--attempts",
    "timeout": "--attempt-duration-seconds",
    "shareIdentifier": "--share-identifier",
    "schedulingPriorityOverride": "--scheduling-priority",
    "tags": "--tag",
    "arrayProperties": "--workers",
    "containerOverrides.environment": "--env",
    "containerProperties.image": "--image",
    "containerProperties.secrets": "--secret",
}


def requests(order: Order) -> tuple[ApiCall, ...]:
    """Return the requests of a launch, checked: the job definition where it is ours, and the job.

    Raises:
        UserError: AWS would not take them.
    """
    if not 1 <= order.workers <= MAX_ARRAY:
        raise UserError(
            f"--workers is {order.workers}, expected 1 to {MAX_ARRAY:,}: the children of one array job"
        )
    register = () if order.settings["job_definition"] else (_definition(order),)
    name = register[0].parameters["jobDefinitionName"] if register else order.settings["job_definition"]
    calls = (*register, _submission(order, name))
    check_calls(calls, _OPTIONS)
    size = len(json.dumps(calls[-1].parameters["containerOverrides"], separators=(",", ":")))
    if size > MAX_OVERRIDES:
        raise UserError(
            f"--env: the job's command and variables have {size} bytes, expected at most {MAX_OVERRIDES}"
        )
    return calls


def _definition(order: Order) -> ApiCall:
    """Return the definition of equal workers: its name is that of its content, so it never has to change."""
    settings, plan = order.settings, order.plan
    linux: dict[str, Json] = {"initProcessEnabled": True}
    if settings["shared_memory_size"] is not None:
        linux["sharedMemorySize"] = settings["shared_memory_size"]
    container: dict[str, Json] = {
        "image": plan.image,
        "resourceRequirements": _resources(order),
        "linuxParameters": linux,
    }
    for key, member in (("job_role_arn", "jobRoleArn"), ("execution_role_arn", "executionRoleArn")):
        if settings[key] is not None:
            container[member] = settings[key]
    if plan.secrets:
        container["secrets"] = [{"name": name, "valueFrom": _value_from(ref)} for name, ref in plan.secrets]
    content = sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()
    parameters: dict[str, Json] = {
        "jobDefinitionName": f"hpo-pipe-{content[:32]}",
        "type": "container",
        "containerProperties": container,
        "platformCapabilities": ["EC2"],
    }
    return ApiCall(service="batch", operation="RegisterJobDefinition", parameters=parameters)


def _submission(order: Order, definition: str) -> ApiCall:
    settings, plan = order.settings, order.plan
    grace_s = float(settings["container_stop_timeout"])
    handed = [name for name, _ in plan.secrets] if plan.image else []
    command = ["worker", *order.worker_arguments(grace_s, secrets=not plan.image, handed=handed)]
    environment = order.worker_environment(settings["region"])
    overrides: dict[str, Json] = {
        "command": command,
        "environment": [{"name": name, "value": value} for name, value in sorted(environment.items())],
    }
    if not plan.image and (resources := _resources(order)):
        overrides["resourceRequirements"] = resources
    parameters: dict[str, Json] = {
        "jobName": order.name,
        "jobQueue": settings["job_queue"],
        "jobDefinition": definition,
        "containerOverrides": overrides,
        "retryStrategy": {
            "attempts": settings["attempts"],
            "evaluateOnExit": [dict(rule) for rule in EVALUATE_ON_EXIT],
        },
        "tags": tags_of(order.tags()),
        "propagateTags": True,
    }
    if order.workers >= 2:  # an array of one is refused
        parameters["arrayProperties"] = {"size": order.workers}
    if settings["attempt_duration_seconds"] is not None:
        parameters["timeout"] = {"attemptDurationSeconds": settings["attempt_duration_seconds"]}
    if settings["share_identifier"] is not None:
        parameters["shareIdentifier"] = settings["share_identifier"]
    if settings["scheduling_priority"] is not None:
        parameters["schedulingPriorityOverride"] = settings["scheduling_priority"]
    return ApiCall(service="batch", operation="SubmitJob", parameters=parameters)


def _resources(order: Order) -> list[Json]:
    wanted = {
        "GPU": order.plan.gpus,
        "MEMORY": order.settings["memory"],
        "VCPU": order.settings["vcpus"],
    }
    return [{"type": kind, "value": str(value)} for kind, value in wanted.items() if value]


def _value_from(ref: str) -> str:
    """Return a reference as ECS writes it: ``ARN:key::`` for one value of a JSON object."""
    arn, mark, key = ref.partition("#")
    return f"{arn}:{key}::" if mark else arn
