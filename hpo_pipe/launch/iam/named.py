"""What a launcher's policy names of a provider: ARNs, checked, and the account and region that they lie in. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpo_pipe.launch.iam.documents import checked_partition
from storage_schema.codec import Json
from storage_schema.errors import UserError

_WHERE = r"arn:(aws|aws-cn|aws-us-gov):{service}:([a-z0-9-]{{4,30}}):([0-9]{{12}}):"
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_KINDS: dict[str, tuple[str, str, str]] = {
    "job_queues": ("batch", r"job-queue/[A-Za-z0-9_-]{1,128}", "job-queue/gpus"),
    "job_definitions": (
        "batch",
        r"job-definition/[A-Za-z0-9_-]{1,128}(:[0-9]{1,9})?",
        "job-definition/worker:3",
    ),
    "launch_templates": ("ec2", r"launch-template/lt-[0-9a-f]{8,17}", "launch-template/lt-0123456789abcdef0"),
    "log_groups": ("logs", r"log-group:[A-Za-z0-9_/.#-]{1,512}", "log-group:/hpo-pipe/gpus"),
    "repositories": ("ecr", r"repository/[a-z0-9][a-z0-9._/-]{1,255}", "repository/hpo-pipe"),
    "functions": ("lambda", r"function:[A-Za-z0-9_-]{1,64}", "function:first"),
    "rules": ("events", r"rule/[A-Za-z0-9._-]{1,64}", "rule/first"),
    "schedules": (
        "scheduler",
        r"schedule/[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}",
        "schedule/default/first",
    ),
    "queues": ("sqs", r"[A-Za-z0-9_-]{1,80}", "first-events"),
    "groups": (
        "autoscaling",
        r"autoScalingGroup:[0-9a-f*-]{1,36}:autoScalingGroupName/[A-Za-z0-9_/.-]{1,255}",
        "autoScalingGroup:*:autoScalingGroupName/gpus",
    ),
}
OPTIONS = {
    "job_queues": "--job-queue",
    "job_definitions": "--job-definition",
    "launch_templates": "--launch-template",
    "log_groups": "--log-group",
    "worker_roles": "--worker-role-arn",
    "schedules": "--schedule-arn",
    "schedule_roles": "--schedule-role-arn",
    "secrets": "--secret-arn",
    "repositories": "--repository-arn",
    "groups": "--auto-scaling-group",
}
"""How `hpo-pipe submit policy` calls them; those that it does not take have their own names in messages."""
_ROLE = re.compile(r"arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/[A-Za-z0-9_+=,.@/-]{1,512}")
_SECRET = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):(?:secretsmanager:[a-z0-9-]{4,30}:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]{1,512}"
    r"|ssm:[a-z0-9-]{4,30}:[0-9]{12}:parameter/[A-Za-z0-9_./-]{1,1000})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """ARNs, each list exact and free of wildcards; and what the study's jobs are known by.

    Raises:
        UserError: one that is no ARN of its kind, or of another partition.
    """

    partition: str = "aws"
    region: str = ""
    """Empty: that of the ARNs."""
    account: str = ""
    """Empty: that of the ARNs."""
    study: str = ""
    """The study's name; empty: jobs of any study."""
    job_queues: tuple[str, ...] = ()
    job_definitions: tuple[str, ...] = ()
    """Without a revision: any."""
    launch_templates: tuple[str, ...] = ()
    log_groups: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    """Of SQS."""
    functions: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Auto Scaling groups."""
    worker_roles: tuple[str, ...] = ()
    """What jobs run as: the roles that may be passed, and no others."""
    schedule_roles: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    """Of Secrets Manager, or parameters of Systems Manager."""

    def __post_init__(self) -> None:
        checked_partition(self.partition)
        for kind in _KINDS:
            for arn in getattr(self, kind):
                self._check(arn, _pattern(kind), kind, self.example(kind))
        for kind in ("worker_roles", "schedule_roles"):
            for arn in getattr(self, kind):
                self._check(arn, _ROLE, kind, f"arn:{self.partition}:iam::111122223333:role/hpo-pipe-worker")
        for arn in self.secrets:
            shown = f"arn:{self.partition}:secretsmanager:eu-west-1:111122223333:secret:wandb-AbCdEf"
            self._check(arn, _SECRET, "secrets", shown)
        for name, value, pattern, shown in (
            ("region", self.region, _REGION, "eu-west-1"),
            ("account", self.account, _ACCOUNT, "111122223333"),
        ):
            if value and not pattern.fullmatch(value):
                raise UserError(f"--{name} {value[:40]!r}: expected one such as {shown}")

    def place(self) -> tuple[str, str]:
        """Return the region and the account, as said or as all ARNs have them.

        Raises:
            UserError: neither says so, or ARNs of several.
        """
        found = [(arn.split(":")[3], arn.split(":")[4]) for kind in _KINDS for arn in getattr(self, kind)]
        regions = {self.region} if self.region else {region for region, _ in found}
        accounts = {self.account} if self.account else {account for _, account in found}
        if not accounts:
            accounts = {arn.split(":")[4] for arn in self.worker_roles}
        return _one(regions, "region"), _one(accounts, "account")

    def example(self, kind: str) -> str:
        """Return what an ARN of `kind` looks like."""
        service, _, tail = _KINDS[kind]
        return f"arn:{self.partition}:{service}:eu-west-1:111122223333:{tail}"

    def of_the_study(self, key: str) -> dict[str, Json]:
        """Return a condition on the tags of our jobs; `key` is ``aws:ResourceTag`` or ``aws:RequestTag``."""
        ours: dict[str, Json] = {"StringLike": {f"{key}/hpo-pipe:submission": "hpo-*"}}
        return ours | ({"StringEquals": {f"{key}/hpo-pipe:study": self.study}} if self.study else {})

    def _check(self, arn: str, pattern: re.Pattern[str], kind: str, shown: str) -> None:
        found = pattern.fullmatch(arn)
        if not found or found[1] != self.partition:
            raise UserError(f"{OPTIONS.get(kind, kind)} {arn[:160]!r}: expected an ARN, as in {shown}")


def _pattern(kind: str) -> re.Pattern[str]:
    service, tail, _ = _KINDS[kind]
    return re.compile(_WHERE.format(service=service) + tail)


def _one(found: set[str], what: str) -> str:
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise UserError(f"the {what} is not known: give --{what}")
    raise UserError(f"ARNs of several {what}s ({', '.join(sorted(found))}): print a policy for each")
