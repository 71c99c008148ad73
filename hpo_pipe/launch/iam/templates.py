"""The same documents with placeholders, for Terraform's ``templatefile()``.

They are written from what the functions of this package return for made-up names, each of which then becomes a
placeholder; a test holds ``infra/iam/`` to that. ``python -m hpo_pipe.launch.iam.templates infra/iam`` writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from hpo_pipe.launch.iam.documents import joined
from hpo_pipe.launch.iam.launching import launch_policy
from hpo_pipe.launch.iam.machines import (
    events_policy,
    invoke_policy,
    lambda_policy,
    machine_policy,
    scheduler_policy,
    trust_policy,
    vpc_policy,
)
from hpo_pipe.launch.iam.named import Named
from hpo_pipe.launch.iam.storage import Role, bucket_policy, kms_statement, role_policy, tls_policy
from storage_schema.codec import Json

SUFFIX = ".json.tmpl"

_REGION, _ACCOUNT = "xx-place-1", "000000000000"
_URL = "s3://xx-bucket/xx/prefix"


def _made_up(service: str, tail: str) -> str:
    return f"arn:aws:{service}:{_REGION}:{_ACCOUNT}:{tail}"


_QUEUE = _made_up("batch", "job-queue/xx")
_DEFINITION = _made_up("batch", "job-definition/xx:1")
_TEMPLATE = _made_up("ec2", "launch-template/lt-00000000")
_LOGS = _made_up("logs", "log-group:xx")
_KEY = _made_up("kms", "key/xx")
_WORKER = f"arn:aws:iam::{_ACCOUNT}:role/xx-worker"
_SCHEDULE, _SCHEDULE_ROLE = (
    _made_up("scheduler", "schedule/xx/xx"),
    f"arn:aws:iam::{_ACCOUNT}:role/xx-schedule",
)
_EVENTS, _RULE = _made_up("sqs", "xx-events"), _made_up("events", "rule/xx")
_FUNCTION = _made_up("lambda", "function:xx")
_SECRET, _PARAMETER = _made_up("secretsmanager", "secret:xx"), _made_up("ssm", "parameter/xx")
_REPOSITORY = _made_up("ecr", "repository/xx")
_GROUP = _made_up("autoscaling", "autoScalingGroup:*:autoScalingGroupName/xx")

_LISTS = {_SECRET: "secret_arns", _PARAMETER: "parameter_arns", _REPOSITORY: "repository_arns"}
"""What stands alone in its list, and becomes a whole list."""
_TEXTS: Mapping[str, str] = {
    _QUEUE: "job_queue_arn",
    _DEFINITION: "job_definition_arn",
    _TEMPLATE: "launch_template_arn",
    _LOGS: "log_group_arn",
    _KEY: "kms_key_arn",
    _WORKER: "worker_role_arn",
    _SCHEDULE: "schedule_arn",
    _SCHEDULE_ROLE: "schedule_role_arn",
    _EVENTS: "event_queue_arn",
    _RULE: "rule_arn",
    _FUNCTION: "function_arn",
    _GROUP: "auto_scaling_group_arn",
    "xx-study": "study_name",
    "xx-bucket": "bucket",
    "xx/prefix/": "prefix",
    _REGION: "region",
    _ACCOUNT: "account",
}
"""Made-up text to placeholder, those first that hold another. A prefix ends with a slash, or is empty."""


def templates() -> dict[str, str]:
    """Return the file's name to its text, for all documents."""
    launching = Named(
        region=_REGION,
        account=_ACCOUNT,
        study="xx-study",
        job_queues=(_QUEUE,),
        worker_roles=(_WORKER,),
        log_groups=(_LOGS,),
        launch_templates=(_TEMPLATE,),
    )
    definition = Named(
        job_queues=(_QUEUE,), job_definitions=(_DEFINITION,), log_groups=(_LOGS,), study="xx-study"
    )
    documents: dict[str, Mapping[str, Json]] = {
        **{role.value: role_policy(_URL, role) for role in Role},
        "worker-with-ticks": role_policy(_URL, Role.WORKER, with_ticks=True),
        "coordinator-that-scales": role_policy(_URL, Role.COORDINATOR, scales=True),
        "bucket": bucket_policy(_URL),
        "bucket-tls": tls_policy("xx-bucket"),
        "kms": joined({"Statement": [kms_statement(_KEY)]}),
        "launch-aws-batch": launch_policy(["aws-batch"], definition),
        "launch-aws-batch-registering": launch_policy(["aws-batch"], launching),
        "launch-ec2": launch_policy(["ec2"], launching),
        "launch-sagemaker": launch_policy(["sagemaker"], launching),
        "prices": launch_policy([], Named(), prices=True),
        "secrets": machine_policy(Named(secrets=(_SECRET,))),
        "parameters": machine_policy(Named(secrets=(_PARAMETER,))),
        "images": machine_policy(Named(repositories=(_REPOSITORY,))),
        "auto-scaling-group": machine_policy(Named(groups=(_GROUP,))),
        "sagemaker-logs": machine_policy(launching, targets=["sagemaker"]),
        "sagemaker-vpc": vpc_policy(launching),
        "lambda": lambda_policy(Named(log_groups=(_LOGS,), queues=(_EVENTS,))),
        "schedule": scheduler_policy(Named(schedules=(_SCHEDULE,), schedule_roles=(_SCHEDULE_ROLE,))),
        "schedule-calls": invoke_policy(Named(functions=(_FUNCTION,))),
        "events": events_policy(Named(queues=(_EVENTS,), rules=(_RULE,))),
    }
    return {name + SUFFIX: _text(document) for name, document in documents.items()} | _trust()


def _trust() -> dict[str, str]:
    """Return who may take a role: any service, and a service that says for which account."""
    anybody, guarded = trust_policy("ec2", _ACCOUNT), trust_policy("sagemaker", _ACCOUNT)
    return {
        "trust" + SUFFIX: _text(anybody).replace("ec2.${dns_suffix}", "${service}"),
        "trust-for-account" + SUFFIX: _text(guarded).replace("sagemaker.amazonaws.com", "${service}"),
    }


def _text(document: Mapping[str, Json]) -> str:
    text = json.dumps(document, indent=2)
    for made_up, name in _LISTS.items():
        listed = json.dumps([made_up], indent=2).replace("\n", "\n      ")
        text = text.replace(listed, f"${{jsonencode({name})}}")
    for made_up, name in _TEXTS.items():
        text = text.replace(made_up, f"${{{name}}}")
    for service in ("s3.${region}", "ec2"):
        text = text.replace(f"{service}.amazonaws.com", f"{service}.${{dns_suffix}}")
    text = text.replace("arn:aws:", "arn:${partition}:")
    assert "xx" not in text, text
    return text + "\n"


def _main(folder: str) -> None:
    for name, text in templates().items():
        (Path(folder) / name).write_text(text, "utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
