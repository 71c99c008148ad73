"""Options of ``submit sagemaker``, and the rules between them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Plan
from hpo_pipe.launch.own_options import Own
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.machine import SPOT

DAY_S = 86_400
MAX_S = 28 * DAY_S
_ACCELERATED = re.compile(r"ml\.(p|g|trn|inf)[0-9]")
_OWN_DISK = re.compile(
    r"ml\.(g4dn|g5|g6e?|p3dn|p4de?|p5(e|en)?|p6[a-z0-9-]*|trn[12]n?|[a-z]+[0-9][a-z]*d[a-z]*)\."
)
"""Types with disks of their own, which take no key of the user's."""
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/.+")
_RESERVED = ("SM_", "SAGEMAKER_", "TRAINING_JOB_")
_KEY = r"[a-zA-Z0-9:/_-]{1,2048}"

TABLE: Final = (
    Own(
        name="--instance-type",
        help="Machine of each worker; may be repeated: the next one is asked for where the quota or the capacity of "
        "one is used up.",
        pattern=r"ml\.[a-z0-9-]+\.[a-z0-9-]+",
        example="ml.g5.xlarge",
        multiple=True,
        required=True,
        most=10,
    ),
    Own(
        name="--role-arn",
        help="Role that workers have: the study's bucket, and their logs.",
        pattern=r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}",
        example="arn:aws:iam::111122223333:role/hpo-pipe-worker",
        required=True,
    ),
    Own(
        name="--volume-size-in-gb",
        help="Disk for scratch files and checkpoints, where the machine has none of its own.",
        low=1,
        high=16_384,
        default=50,
    ),
    Own(
        name="--max-runtime-in-seconds",
        help="SageMaker ends a job after so long; its worker hands its trials back.",
        low=60,
        high=MAX_S,
        default=DAY_S,
    ),
    Own(
        name="--max-wait-time-in-seconds",
        help="With spot: of waiting for machines and running, together.  [default: a day more than "
        "--max-runtime-in-seconds]",
        low=60,
        high=MAX_S + DAY_S,
    ),
    Own(
        name="--max-pending-time-in-seconds",
        help="Give up waiting for a machine after so long; for types with GPUs.",
        low=1800,
        high=MAX_S,
    ),
    Own(
        name="--maximum-retry-attempts",
        help="Starts after an error of SageMaker's own.",
        low=1,
        high=30,
    ),
    Own(
        name="--subnets",
        help="Subnet of a VPC that leads to S3; may be repeated. With --security-group-ids.",
        pattern=r"subnet-[0-9a-z]{1,32}",
        example="subnet-0abc1234",
        multiple=True,
    ),
    Own(
        name="--security-group-ids",
        help="Security group in their VPC; may be repeated. With --subnets.",
        pattern=r"sg-[0-9a-z]{1,32}",
        example="sg-0abc1234",
        multiple=True,
        most=5,
    ),
    Own(
        name="--volume-kms-key-id",
        help="Key that encrypts the disk, where the machine has none of its own.",
        pattern=_KEY,
        example="alias/training",
    ),
    Own(
        name="--s3-output-path",
        help="Where SageMaker would put a model; workers leave none there.  [default: sagemaker/ below the study]",
        metavar="S3_URI",
        pattern=r"s3://[a-z0-9][a-z0-9.-]{1,62}(/.{0,900})?",
        example="s3://bucket/output",
    ),
    Own(
        name="--kms-key-id",
        help="Key that encrypts what lies at --s3-output-path.",
        pattern=_KEY,
        example="alias/x",
    ),
    Own(name="--enable-network-isolation", help="Not possible: workers need S3.", flag=True),
)


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and the plan.

    Raises:
        UserError: naming the option, what was found, and what is allowed.
    """
    if settings["enable_network_isolation"]:
        raise UserError("--enable-network-isolation: a worker meets its study in S3, so it needs the network")
    if not plan.url.startswith(("s3://", "s3a://")):
        raise UserError(
            f"study {plan.url}: training jobs do not see this machine's folders; expected s3://..."
        )
    _check_time(settings, plan)
    _check_network(settings, plan)
    types = settings["instance_type"]
    if settings["max_pending_time_in_seconds"] is not None and not all(map(_ACCELERATED.match, types)):
        plain = next(name for name in types if not _ACCELERATED.match(name))
        raise UserError(
            f"--max-pending-time-in-seconds is for types with GPUs or accelerators, found {plain}"
        )
    if settings["volume_kms_key_id"] is not None and (own := next(filter(_OWN_DISK.match, types), None)):
        raise UserError(
            f"--volume-kms-key-id: {own} has disks of its own, which are always encrypted with their key"
        )
    for name, _ in plan.env:
        if name.upper().startswith(_RESERVED):
            raise UserError(f"--env {name}: names that begin with {', '.join(_RESERVED)} are SageMaker's")
    for name, ref in plan.secrets:
        if not ref.startswith("arn:"):
            raise UserError(
                f"--secret {name}: expected an ARN of Secrets Manager or SSM: jobs have no such file"
            )


def _check_time(settings: Mapping[str, Json], plan: Plan) -> None:
    longest, wait = settings["max_runtime_in_seconds"], settings["max_wait_time_in_seconds"]
    if wait is not None and plan.hiring not in (SPOT, SPOT_THEN_ON_DEMAND):
        raise UserError("--max-wait-time-in-seconds goes with --spot or --spot-then-on-demand")
    if wait is not None and wait < longest:
        raise UserError(
            f"--max-wait-time-in-seconds is {wait}, expected at least --max-runtime-in-seconds, {longest}"
        )
    if plan.max_runtime_s is not None and plan.max_runtime_s > longest:
        raise UserError(
            f"--max-runtime is {plan.max_runtime_s:g} s, expected at most --max-runtime-in-seconds, {longest}"
        )


def _check_network(settings: Mapping[str, Json], plan: Plan) -> None:
    if bool(settings["subnets"]) != bool(settings["security_group_ids"]):
        raise UserError("--subnets and --security-group-ids go together")
    if not plan.image:
        raise UserError("--image is missing: a container image whose entry point is hpo-pipe")
    ecr = _ECR.fullmatch(plan.image)
    if ecr is None and not settings["subnets"]:
        raise UserError(
            f"--image is {plan.image[:80]!r}, expected one in ECR: SageMaker pulls from other registries only "
            "within a VPC, with --subnets and --security-group-ids"
        )
    if ecr is not None and ecr[1] != settings["region"]:
        raise UserError(
            f"--image is in {ecr[1]}, expected --region, {settings['region']}: SageMaker pulls from its own"
        )


def is_in_ecr(image: str) -> bool:
    """Whether SageMaker can pull an image without a VPC."""
    return bool(_ECR.fullmatch(image))
