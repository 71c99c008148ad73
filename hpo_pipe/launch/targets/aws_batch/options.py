"""Options of ``submit aws-batch``, and the rules between them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Plan
from hpo_pipe.launch.own_options import Own
from storage_schema.codec import Json
from storage_schema.errors import UserError

_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}"
_QUEUE = r"(arn:aws[a-z-]*:batch:[a-z0-9-]+:[0-9]{12}:job-queue/)?[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
_DEFINITION = _QUEUE.replace("job-queue", "job-definition") + r"(:[0-9]{1,9})?"
_ROLE_EXAMPLE = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
STOP_S = 30
"""What ECS gives a container between SIGTERM and SIGKILL, where nobody has changed ECS_CONTAINER_STOP_TIMEOUT."""
_WITH_IMAGE = ("vcpus", "memory", "shared_memory_size", "job_role_arn", "execution_role_arn")

TABLE: Final = (
    Own(
        name="--job-queue",
        help="Queue that the jobs go to, by name or ARN. Its compute environments decide about spot.",
        pattern=_QUEUE,
        example="gpus-spot",
        required=True,
    ),
    Own(
        name="--job-definition",
        help="Job definition of yours that the jobs are made from; or give --image.",
        pattern=_DEFINITION,
        example="hpo-worker:3",
    ),
    Own(name="--vcpus", help="vCPUs of each job.", low=1, high=1024),
    Own(
        name="--memory",
        help="Memory of each job; a little less than the machine has, or the job waits for ever.",
        low=4,
        high=32_000_000,
        metavar="MIB",
    ),
    Own(
        name="--shared-memory-size",
        help="Size of /dev/shm, which data loaders of PyTorch use; with --image.",
        low=1,
        high=32_000_000,
        metavar="MIB",
    ),
    Own(
        name="--job-role-arn",
        help="Role that workers have: the study's bucket. With --image.",
        pattern=_ROLE,
        example=_ROLE_EXAMPLE,
    ),
    Own(
        name="--execution-role-arn",
        help="Role that ECS pulls images and reads --secret with. With --image.",
        pattern=_ROLE,
        example=_ROLE_EXAMPLE,
    ),
    Own(
        name="--attempts",
        help="Starts of one job: again after its machine was taken back, or exit code 75; not after others.",
        low=1,
        high=10,
        default=10,
    ),
    Own(
        name="--attempt-duration-seconds",
        help="Batch ends an attempt after so long, and never starts it again.",
        low=60,
        high=31_536_000,
    ),
    Own(
        name="--share-identifier",
        help="For queues with a scheduling policy, and no others.",
        pattern=r"[A-Za-z0-9]{1,255}",
        example="research",
    ),
    Own(
        name="--scheduling-priority",
        help="Within a share; higher goes first.",
        low=0,
        high=9999,
    ),
    Own(
        name="--container-stop-timeout",
        help="From SIGTERM to SIGKILL: what ECS_CONTAINER_STOP_TIMEOUT is on your machines; infra/ sets 120.",
        low=2,
        high=3600,
        default=STOP_S,
        metavar="SECONDS",
    ),
)


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and the plan.

    Raises:
        UserError: naming the option, what was found, and what is allowed.
    """
    _check_container(settings, plan)
    if plan.hiring == SPOT_THEN_ON_DEMAND:
        raise UserError(
            "--spot-then-on-demand: the queue decides that; give it a spot environment first and one on demand second"
        )
    if settings["scheduling_priority"] is not None and settings["share_identifier"] is None:
        raise UserError("--scheduling-priority goes with --share-identifier")
    _check_time(settings, plan)
    for option, key in (("--job-queue", "job_queue"), ("--job-definition", "job_definition")):
        where = str(settings[key] or "").split(":")
        if where[0] == "arn" and where[3] != settings["region"]:
            raise UserError(f"{option} is in {where[3]}, expected --region, {settings['region']}")
    for name, _ in plan.env:
        if name.upper().startswith("AWS_BATCH_"):
            raise UserError(f"--env {name}: names that begin with AWS_BATCH_ are reserved by AWS Batch")


def _check_container(settings: Mapping[str, Json], plan: Plan) -> None:
    if bool(plan.image) == bool(settings["job_definition"]):
        raise UserError("--image or --job-definition is needed, and not both")
    if settings["job_definition"]:
        for key in ("shared_memory_size", "job_role_arn", "execution_role_arn"):
            if settings[key] is not None:
                raise UserError(
                    f"--{key.replace('_', '-')} goes with --image; the job definition has its own"
                )
        return
    if not plan.url.startswith(("s3://", "s3a://")):
        raise UserError(f"study {plan.url}: containers do not see this machine's folders; expected s3://...")
    missing = [key for key in ("vcpus", "memory") if settings[key] is None]
    if missing:
        raise UserError("\n".join(f"--{key} is missing; it is needed with --image" for key in missing))
    if plan.secrets and settings["execution_role_arn"] is None:
        raise UserError("--secret needs --execution-role-arn, a role that may read it")
    for name, ref in plan.secrets:
        if not ref.startswith("arn:"):
            raise UserError(
                f"--secret {name}: expected an ARN of Secrets Manager or SSM: containers have no such file"
            )


def _check_time(settings: Mapping[str, Json], plan: Plan) -> None:
    limit, longest = settings["attempt_duration_seconds"], plan.max_runtime_s
    if limit is None or longest is None:
        return
    least = longest + settings["container_stop_timeout"]
    if limit < least:
        raise UserError(
            f"--attempt-duration-seconds is {limit}, expected at least {least:g}: --max-runtime and the time to give "
            "trials back; or leave it out"
        )
