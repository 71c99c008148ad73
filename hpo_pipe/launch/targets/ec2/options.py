"""Options of ``submit ec2``, and the rules between them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hpo_pipe.launch.order import Plan
from hpo_pipe.launch.own_options import Own, gathered
from storage_schema.codec import Json
from storage_schema.errors import UserError

MAX_OVERRIDES = 300
"""Instance types times subnets of one fleet."""
ROOT_DEVICE = "/dev/xvda"
VOLUME_GB = 100
PROGRAM = "hpo-pipe"
PRIORITIZED = "prioritized"
CAPACITY_PRIORITIZED = "capacity-optimized-prioritized"
_ARM = re.compile(r"(a1|[a-z-]+[0-9]+[a-z]*g[a-z]*)\.")
"""Types with AWS's own processors have a g behind the generation: g5g, c7gn; g4dn and g5 do not."""
_IMDS_KEY = re.compile(r"[A-Za-z0-9+\-=.,_:@]{1,128}")

TABLE: Final = (
    Own(
        name="--instance-type",
        help="Machine of a worker; may be repeated: on demand in this order, on spot the fleet chooses by price and "
        "capacity.",
        pattern=r"[a-z][a-z0-9-]{0,20}[0-9][a-z0-9-]{0,10}\.[a-z0-9-]{1,20}",
        example="g5.xlarge",
        multiple=True,
        most=40,
    ),
    Own(
        name="--image-id",
        help="The machines' image (AMI), or resolve:ssm: and a parameter. It has docker, or with no --image hpo-pipe.",
        pattern=r"ami-[0-9a-f]{8,17}|resolve:ssm:[A-Za-z0-9_.:/-]{1,1000}",
        example="ami-0123456789abcdef0",
    ),
    Own(
        name="--iam-instance-profile",
        help="What the machines run as, its name or ARN: the study's bucket.",
        pattern=r"[\w+=,.@-]{1,128}|arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[\w+=,.@/-]{1,512}",
        example="hpo-pipe-worker",
    ),
    Own(
        name="--subnet-ids",
        help="May be repeated, best one in each zone.  [default: those of the default VPC]",
        pattern=r"subnet-[0-9a-f]{8,17}",
        example="subnet-0123456789abcdef0",
        multiple=True,
    ),
    Own(
        name="--security-group-ids",
        help="May be repeated; nothing has to come in.  [default: that of the default VPC]",
        pattern=r"sg-[0-9a-f]{8,17}",
        example="sg-0123456789abcdef0",
        multiple=True,
        most=5,
    ),
    Own(
        name="--volume-size-in-gb",
        help=f"The machines' disk, encrypted; it goes with its machine.  [default: {VOLUME_GB}]",
        low=8,
        high=16_384,
    ),
    Own(
        name="--root-device-name",
        help=f"As the AMI names it.  [default: {ROOT_DEVICE}]",
        pattern=r"/dev/[a-z]{1,4}[a-z0-9]{0,4}",
        example="/dev/sda1",
    ),
    Own(
        name="--key-name",
        help="Key pair to log in with.  [default: none]",
        pattern=r"[\x20-\x7e]{1,255}",
        example="gpu-debugging",
    ),
    Own(
        name="--program",
        help=f"Where hpo-pipe is in the AMI, if there is no --image.  [default: {PROGRAM}, on the PATH]",
        pattern=r"/?[A-Za-z0-9._+-]{1,100}(/[A-Za-z0-9._+-]{1,100}){0,20}",
        example="/opt/venv/bin/hpo-pipe",
    ),
    Own(
        name="--launch-template",
        help="NAME:VERSION or lt-ID:VERSION of a template of yours, for all but types, subnets and user data; its "
        "machines have to end when they shut down.",
        pattern=r"(lt-[0-9a-f]{8,17}|[A-Za-z0-9()./_-]{3,128}):([1-9][0-9]{0,8}|\$Latest|\$Default)",
        example="gpu-workers:3",
    ),
    Own(
        name="--allocation-strategy",
        help="How a spot fleet chooses among types and subnets.",
        pattern="price-capacity-optimized|capacity-optimized|capacity-optimized-prioritized|diversified|lowest-price",
        example="price-capacity-optimized",
        default="price-capacity-optimized",
    ),
    Own(
        name="--on-demand-allocation-strategy",
        help="The same on demand: prioritized (types in the order given) or lowest-price.",
        pattern="prioritized|lowest-price",
        example=PRIORITIZED,
        default=PRIORITIZED,
    ),
)
_OF_A_TEMPLATE = (
    "image_id",
    "iam_instance_profile",
    "security_group_ids",
    "volume_size_in_gb",
    "root_device_name",
    "key_name",
)
"""Options that our own template carries; one of the user's has its own."""
_WITHOUT_A_TEMPLATE = ("instance_type", "image_id", "iam_instance_profile")
"""Options that are needed where there is none of the user's."""


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and the plan.

    Raises:
        UserError: one line for each mistake, naming the option, what was found, and what is allowed.
    """
    rules = (_check_study, _check_types, _check_processors, _check_tags, _check_template, _check_plan)
    gathered(*((lambda r=rule: r(settings, plan)) for rule in rules))


def _check_study(settings: Mapping[str, Json], plan: Plan) -> None:
    if not plan.url.startswith(("s3://", "s3a://")):
        raise UserError(f"study {plan.url}: machines of EC2 do not see this one's folders; expected s3://...")


def _check_types(settings: Mapping[str, Json], plan: Plan) -> None:
    types, subnets = settings["instance_type"], settings["subnet_ids"]
    if len(types) * max(1, len(subnets)) > MAX_OVERRIDES:
        raise UserError(
            f"--instance-type and --subnet-ids: {len(types)} times {len(subnets)}, expected at most {MAX_OVERRIDES}"
        )


def _check_tags(settings: Mapping[str, Json], plan: Plan) -> None:
    for name, _ in plan.tags:
        if not _IMDS_KEY.fullmatch(name) or name in (".", "..", "_index"):
            raise UserError(
                f"--tag {name[:80]!r}: machines see their tags, so names have letters, digits and +-=.,_:@ only"
            )


def _check_plan(settings: Mapping[str, Json], plan: Plan) -> None:
    if plan.image and settings["program"]:
        raise UserError("--program is of the AMI, and --image starts a container: give one of them")
    for name, ref in plan.secrets:
        if not ref.startswith("arn:"):
            raise UserError(
                f"--secret {name}: expected an ARN of Secrets Manager or SSM: machines have no such file"
            )
    for name, value in plan.env:
        if not value.isprintable():
            raise UserError(f"--env {name}: expected printable characters only, in one line")


def _check_processors(settings: Mapping[str, Json], plan: Plan) -> None:
    types = settings["instance_type"]
    arm = [name for name in types if _ARM.match(name)]
    if arm and len(arm) < len(types):
        plain = next(name for name in types if name not in arm)
        raise UserError(
            f"--instance-type: {arm[0]} has an Arm processor and {plain} has not, and no image is for both"
        )


def _check_template(settings: Mapping[str, Json], plan: Plan) -> None:
    if not settings["launch_template"]:
        missing = [own for own in TABLE if own.key in _WITHOUT_A_TEMPLATE and not settings[own.key]]
        if missing:
            raise UserError(
                "\n".join(f"{own.name} is missing, expected something like {own.example}" for own in missing)
            )
        return
    given = [own.name for own in TABLE if own.key in _OF_A_TEMPLATE and settings[own.key]]
    if given:
        raise UserError(f"--launch-template has its own, so it does not go with {', '.join(given)}")
