"""``infra/iam/`` is what the package renders, and filled in it is what `submit policy` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

import pytest

from hpo_pipe.launch.iam import (
    Named,
    Role,
    bucket_policy,
    joined,
    kms_statement,
    lambda_policy,
    launch_policy,
    machine_policy,
    role_policy,
    scheduler_policy,
    trust_policy,
)
from hpo_pipe.launch.iam.templates import templates
from tests.infra.terraform import INFRA

FOLDER = INFRA / "iam"
URL = "s3://trials/studies/first"
QUEUE = "arn:aws:batch:eu-west-1:111122223333:job-queue/gpus"
DEFINITION = "arn:aws:batch:eu-west-1:111122223333:job-definition/hpo-pipe-gpus:4"
GROUP = "arn:aws:logs:eu-west-1:111122223333:log-group:/hpo-pipe/gpus"
TEMPLATE = "arn:aws:ec2:eu-west-1:111122223333:launch-template/lt-0123456789abcdef0"
WORKER = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
SECRETS = tuple(f"arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}" for name in ("a-1", "b-2"))
EVENTS = "arn:aws:sqs:eu-west-1:111122223333:first-events"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
SCHEDULE = "arn:aws:scheduler:eu-west-1:111122223333:schedule/default/first"
CALLER = "arn:aws:iam::111122223333:role/first-schedule"
VALUES = {
    "partition": "aws",
    "dns_suffix": "amazonaws.com",
    "region": "eu-west-1",
    "account": "111122223333",
    "bucket": "trials",
    "prefix": "studies/first/",
    "study_name": "first",
    "job_queue_arn": QUEUE,
    "job_definition_arn": DEFINITION,
    "log_group_arn": GROUP,
    "launch_template_arn": TEMPLATE,
    "worker_role_arn": WORKER,
    "event_queue_arn": EVENTS,
    "kms_key_arn": KEY,
    "schedule_arn": SCHEDULE,
    "schedule_role_arn": CALLER,
    "service": "ecs-tasks.amazonaws.com",
}
NAMED = Named(
    study="first",
    job_queues=(QUEUE,),
    log_groups=(GROUP,),
    launch_templates=(TEMPLATE,),
    worker_roles=(WORKER,),
)
EXPECTED = {
    **{role.value: role_policy(URL, role) for role in Role},
    "worker-with-ticks": role_policy(URL, Role.WORKER, with_ticks=True),
    "coordinator-that-scales": role_policy(URL, Role.COORDINATOR, scales=True),
    "bucket": bucket_policy(URL),
    "kms": joined({"Statement": [kms_statement(KEY)]}),
    "launch-aws-batch-registering": launch_policy(["aws-batch"], NAMED),
    "launch-aws-batch": launch_policy(
        ["aws-batch"],
        Named(study="first", job_queues=(QUEUE,), job_definitions=(DEFINITION,), log_groups=(GROUP,)),
    ),
    "launch-sagemaker": launch_policy(["sagemaker"], NAMED),
    "launch-ec2": launch_policy(["ec2"], NAMED),
    "secrets": machine_policy(Named(secrets=SECRETS)),
    "lambda": lambda_policy(Named(log_groups=(GROUP,), queues=(EVENTS,))),
    "schedule": scheduler_policy(Named(schedules=(SCHEDULE,), schedule_roles=(CALLER,))),
    "trust-for-account": trust_policy("ecs-tasks", "111122223333"),
}


def filled_in(text: str) -> Any:
    """Return a template with values, as terraform's templatefile() does."""
    text = re.sub(r"\$\{jsonencode\(secret_arns\)\}", json.dumps(SECRETS), text)
    return json.loads(Template(text).substitute(VALUES))


def test_the_files_are_what_the_package_renders() -> None:
    found = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert found == templates(), "run: python -m hpo_pipe.launch.iam.templates infra/iam"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_filled_in_they_are_what_submit_policy_prints(name: str) -> None:
    found = filled_in((FOLDER / f"{name}.json.tmpl").read_text("utf-8"))
    for document in (found, expected := json.loads(json.dumps(EXPECTED[name]))):
        for statement in document["Statement"]:
            if "Resource" in statement:
                statement["Resource"].sort()
    assert found == expected


def test_modules_use_templates_that_are_there() -> None:
    texts = [path.read_text("utf-8") for path in (INFRA / "terraform").rglob("main.tf")]
    used = {name for text in texts for name in re.findall(r"local\.iam}/([a-z0-9-]+)\.json\.tmpl", text)}
    assert len(used) > 12
    assert used <= {path.name.removesuffix(".json.tmpl") for path in FOLDER.iterdir()}


def test_documents_stand_in_one_place_only() -> None:
    """A statement that a module writes itself would be a second source."""
    for path in Path(INFRA / "terraform").rglob("main.tf"):
        actions = re.findall(r'"[a-z0-9]+:[A-Z][A-Za-z]+"', path.read_text("utf-8"))
        assert set(actions) <= {'"sts:AssumeRole"'}, path
