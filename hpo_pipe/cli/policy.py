"""``hpo-pipe submit policy``: the rights that a study's people and machines need, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.output import print_json, say

if TYPE_CHECKING:
    from hpo_pipe.launch.iam import Named
    from storage_schema.codec import Json

BUCKET = "bucket"
_ROLES = ("worker", "coordinator", "submitter", "observer", BUCKET)
_LAUNCHERS = ("submitter", "coordinator")
_PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
_TARGETS = ("aws-batch", "sagemaker", "ec2")
_F = TypeVar("_F", bound=Callable[..., Any])

_NAMED: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], str], ...] = (
    ("--job-queue", "job_queues", ("aws-batch",), _LAUNCHERS, "A queue that jobs go to."),
    (
        "--job-definition",
        "job_definitions",
        ("aws-batch",),
        _LAUNCHERS,
        "A definition that jobs are made from; without one, definitions hpo-pipe-* may be registered.",
    ),
    (
        "--launch-template",
        "launch_templates",
        ("ec2",),
        _LAUNCHERS,
        "A template that instances are made from.",
    ),
    (
        "--log-group",
        "log_groups",
        ("aws-batch",),
        _LAUNCHERS,
        "Where workers' logs are. [default: /aws/batch/job]",
    ),
    (
        "--worker-role-arn",
        "worker_roles",
        _TARGETS,
        _LAUNCHERS,
        "What workers run as; no other role may be passed.",
    ),
    (
        "--schedule-arn",
        "schedules",
        (),
        ("coordinator",),
        "The coordinator's own schedule, to switch it off.",
    ),
    (
        "--schedule-role-arn",
        "schedule_roles",
        (),
        ("coordinator",),
        "The role that this schedule calls with.",
    ),
    ("--secret-arn", "secrets", (), ("worker",), "A secret or a parameter that trials are given."),
    ("--repository-arn", "repositories", (), ("worker",), "A repository that machines pull the image from."),
    ("--auto-scaling-group", "groups", (), ("worker",), "A group that machines leave when they are done."),
)
"""Option, field of Named, targets that it is for (none: without one), roles that it is for, help."""


def _named_options(command: _F) -> _F:
    for option, field, _, _, text in reversed(_NAMED):
        command = click.option(option, field, metavar="ARN", multiple=True, help=text)(command)
    return command


@click.command(
    short_help="Print the IAM policy of a role.",
    epilog=examples(
        "hpo-pipe submit policy s3://bucket/studies/first --role worker > worker.json",
        "hpo-pipe submit policy s3://bucket/studies/first --role worker --with-ticks",
        "hpo-pipe submit policy s3://bucket/studies/first --role bucket",
        "hpo-pipe submit policy s3://bucket/studies/first --role submitter --target aws-batch --job-queue ARN"
        " --worker-role-arn ARN",
    ),
)
@url_argument
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    required=True,
    help="Whose; `bucket`: what the bucket's own policy should have.",
)
@click.option("--with-ticks", is_flag=True, help="A worker that may also run a coordinator's tick.")
@click.option("--partition", type=click.Choice(_PARTITIONS), default="aws", show_default=True)
@click.option("--kms-key", metavar="ARN", help="The key that the bucket encrypts with, if it is one's own.")
@click.option(
    "--list-whole-bucket",
    is_flag=True,
    help="For stores that answer a missing key with 403 although its prefix may be listed.",
)
@click.option(
    "--target",
    "targets",
    type=click.Choice(_TARGETS),
    multiple=True,
    help="Where a submitter, or a coordinator that scales, starts workers; or where a worker runs. May be repeated.",
)
@_named_options
@click.option("--region", metavar="NAME", default="", help="Where the target is, if no ARN says so.")
@click.option("--account", metavar="ID", default="", help="Whose the target is, if no ARN says so.")
@click.option(
    "--study-name",
    "study",
    metavar="NAME",
    default="",
    help="Launch and end only what is tagged with this study's name.  [default: that of any study of hpo-pipe]",
)
@click.option("--vpc", is_flag=True, help="A worker on SageMaker, in a network of one's own (--subnets).")
@click.option("--prices", is_flag=True, help="Also read the provider's prices.")
def policy(
    url: str,
    role: str,
    with_ticks: bool,
    partition: str,
    kms_key: str | None,
    list_whole_bucket: bool,
    targets: tuple[str, ...],
    region: str,
    account: str,
    study: str,
    vpc: bool,
    prices: bool,
    **arns: tuple[str, ...],
) -> None:
    """Print the least that a role needs for one study in S3, as a policy document. Asks no store.

    Roles: a worker trains; a coordinator decides; a submitter creates the study, steers it, starts workers and looks;
    an observer looks. With --target the document also has what the provider must allow.
    """
    from hpo_pipe.launch.iam import (
        MAX_MANAGED_POLICY,
        Named,
        Role,
        bucket_policy,
        joined,
        role_policy,
        vpc_policy,
    )

    _check(role, targets, arns, region, account, study)
    if role == BUCKET:
        if with_ticks or kms_key or list_whole_bucket or prices or vpc:
            raise click.UsageError(
                "--role bucket takes no --with-ticks, --kms-key, --list-whole-bucket, --prices or --vpc"
            )
        print_json(bucket_policy(url, partition=partition))
        say("add these statements to what the bucket's policy has; take them out again to delete the study")
        return
    if vpc and not (role == "worker" and "sagemaker" in targets):
        raise click.UsageError("--vpc is for --role worker --target sagemaker")
    named = Named(partition=partition, region=region, account=account, study=study, **arns)
    document = joined(
        role_policy(
            url,
            Role(role),
            with_ticks=with_ticks,
            partition=partition,
            kms_key=kms_key,
            list_whole_bucket=list_whole_bucket,
            scales=role == "coordinator" and bool(targets),
        ),
        _of_the_provider(role, targets, named, prices),
        vpc_policy(named) if vpc else {"Statement": []},
    )
    print_json(document)
    if len(json.dumps(document, separators=(",", ":"))) > MAX_MANAGED_POLICY:
        say(
            f"longer than the {MAX_MANAGED_POLICY:,} characters of a managed policy: print one for each target"
        )


def _of_the_provider(role: str, targets: tuple[str, ...], named: Named, prices: bool) -> dict[str, Json]:
    from hpo_pipe.launch.iam import joined, launch_policy, machine_policy, scheduler_policy

    launching = targets if role in _LAUNCHERS else ()
    return joined(
        launch_policy(launching, named, prices=prices),
        machine_policy(named, targets=targets) if role == "worker" else {"Statement": []},
        scheduler_policy(named),
    )


def _check(
    role: str,
    targets: tuple[str, ...],
    arns: dict[str, tuple[str, ...]],
    region: str,
    account: str,
    study: str,
) -> None:
    """Refuse what would be silently without effect."""
    if targets and role not in (*_LAUNCHERS, "worker"):
        raise click.UsageError(f"--target is for the roles worker, {' and '.join(_LAUNCHERS)}")
    for option, field, for_targets, for_roles, _ in _NAMED:
        if not arns[field]:
            continue
        if role not in for_roles:
            raise click.UsageError(f"{option} is for the role {' or '.join(for_roles)}")
        if for_targets and not set(for_targets) & set(targets):
            raise click.UsageError(f"{option} is for --target {' or '.join(for_targets)}")
    for option, value in (("--region", region), ("--account", account), ("--study-name", study)):
        if value and not targets:
            raise click.UsageError(f"{option} is for --target")
