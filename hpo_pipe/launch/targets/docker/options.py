"""Options of ``submit docker``, and the command line of each worker's container. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from hpo_pipe.launch.image import case_told, is_image
from hpo_pipe.launch.order import Order, Plan
from hpo_pipe.launch.own_options import Own
from hpo_pipe.launch.target import CommandCall
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.secret_refs import parse_secret

MOST_WORKERS = 256
"""Containers of one machine."""
STOP_S = 120
SUBMISSION = "hpo-pipe:submission"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_SIZE = r"[0-9]{1,15}[bkmgBKMG]?"

TABLE: Final[tuple[Own, ...]] = (
    Own(
        name="--gpu-devices",
        help="Which GPUs of the machine are dealt out, --gpus to each worker.  [default: from 0 on]",
        pattern=r"[A-Za-z0-9-]{1,64}(,[A-Za-z0-9-]{1,64})*",
        example="4,5,6,7",
    ),
    Own(name="--cpus", help="CPUs of each worker.", pattern=r"[0-9]{1,5}(\.[0-9]{1,3})?", example="4 or 1.5"),
    Own(name="--memory", metavar="SIZE", help="Memory of each worker.", pattern=_SIZE, example="16g"),
    Own(
        name="--shm-size",
        help="Shared memory, which data loaders of torch use.  [default: docker's, 64m]",
        pattern=_SIZE,
        example="8g",
    ),
    Own(name="--network", help="As of docker run.", pattern=r"[A-Za-z0-9][\w.:-]{0,127}", example="host"),
    Own(
        name="--volume",
        help="SOURCE:TARGET[:ro]; may be repeated. A study in a folder is mounted anyway.",
        pattern=r"[^:\x00-\x1f\x7f]{1,1000}:/[^:\x00-\x1f\x7f]{0,1000}(:[a-zA-Z,]{1,20})?",
        example="/data:/data:ro",
        multiple=True,
    ),
    Own(
        name="--workdir",
        metavar="FOLDER",
        help="Folder in the container that trials run in.  [default: the image's]",
        pattern=r"/[^\x00-\x1f\x7f]{0,1000}",
        example="/training",
    ),
    Own(
        name="--user",
        help="UID:GID.  [default: the image's; yours for a study in a folder]",
        pattern=r"[0-9]{1,10}(:[0-9]{1,10})?",
        example="1000:1000",
    ),
    Own(
        name="--pass-env",
        metavar="NAME",
        help="A variable of this shell that workers get, such as AWS_PROFILE; may be repeated.",
        pattern=_NAME,
        example="AWS_PROFILE",
        multiple=True,
        most=64,
    ),
    Own(
        name="--restart",
        help="no, or on-failure:N: how often a worker that failed starts again.",
        pattern=r"no|on-failure:[1-9][0-9]{0,3}",
        example="no or on-failure:3",
        default="no",
    ),
    Own(
        name="--stop-timeout",
        metavar="SECONDS",
        help="Seconds that a worker has for giving its trials back when it is stopped.",
        low=1,
        high=86_400,
        default=STOP_S,
    ),
    Own(name="--pull", help="always, missing or never.", pattern="always|missing|never", example="always"),
    Own(
        name="--context",
        help="Which docker is asked.  [default: the one in use]",
        pattern=r"[A-Za-z0-9][\w.+-]{0,127}",
        example="workstation",
    ),
    Own(
        name="--docker-arg",
        help="A further option of docker run, such as --ipc=host; may be repeated.",
        pattern=r"--[a-z][a-z0-9-]{1,40}(=[^\x00-\x1f\x7f]{1,1000})?",
        example="--ipc=host",
        multiple=True,
    ),
)

_INSTEAD: Mapping[str, str] = {
    **{
        f"--{own}": f"--{own}"
        for own in ("cpus", "memory", "shm-size", "network", "volume", "workdir", "user")
    },
    **{f"--{own}": f"--{own}" for own in ("restart", "stop-timeout", "pull", "gpus", "env", "context")},
    "--env-file": "--env, --pass-env or --secret",
    "--label": "--tag",
}
_OURS = ("--name", "--detach", "--rm", "--init", "--interactive", "--tty", "--cidfile", "--stop-signal")


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and against the plan.

    Raises:
        UserError: one line for each mistake.
    """
    lines = []
    if not is_image(plan.image):
        shown = f"is {plan.image[:80]!r}" if plan.image else "is missing"
        lines.append(
            f"--image {shown}, expected an image with hpo-pipe as its entry point, such as hpo-pipe:latest"
            + case_told(plan.image)
        )
    if settings["gpu_devices"] and not plan.gpus:
        lines.append("--gpu-devices is given, and --gpus is not: expected how many of them each worker has")
    for text in settings["docker_arg"]:
        name = text.partition("=")[0]
        if name in _INSTEAD or name in _OURS:
            instead = _INSTEAD.get(name)
            lines.append(
                f"--docker-arg {text[:80]!r}: " + (f"write {instead}" if instead else "hpo-pipe sets it")
            )
    lines += [
        f"{source!r} cannot be mounted: docker takes no comma and no quotation mark in a folder's name"
        for source in _mounted(plan)
        if "," in source or '"' in source
    ]
    if lines:
        raise UserError("\n".join(lines))


def docker(settings: Mapping[str, Json], *arguments: str) -> list[str]:
    """Return a command line of docker's client, with the daemon that is meant."""
    if settings["context"]:
        return ["docker", "--context", settings["context"], *arguments]
    return ["docker", "--host", settings["host"], *arguments] if settings["host"] else ["docker", *arguments]


def runs(order: Order) -> tuple[CommandCall, ...]:
    """Return the command that starts each worker's container.

    Raises:
        UserError: more workers, or more GPUs, than the machine is said to have.
    """
    if order.workers > MOST_WORKERS:
        raise UserError(f"--workers is {order.workers}, expected at most {MOST_WORKERS} on one machine")
    devices = _devices(order)
    shared = _shared(order)
    worker = _worker(order)
    return tuple(
        CommandCall(
            argv=(
                *docker(order.settings, "run", "--detach", "--init", "--name", order.job_name(index)),
                *(("--gpus", devices[index]) if devices else ()),
                *shared,
                order.plan.image,
                *worker,
            )
        )
        for index in range(order.workers)
    )


def _shared(order: Order) -> list[str]:
    """Return the options that all workers' containers have."""
    settings, plan = order.settings, order.plan
    named = ("cpus", "memory", "shm_size", "network", "workdir", "restart", "stop_timeout", "pull")
    given = [f"--{name.replace('_', '-')}={settings[name]}" for name in named if settings[name] is not None]
    given += [f"--volume={volume}" for volume in settings["volume"]]
    given += [
        f"--mount=type=bind,source={source},target={source}{mode}" for source, mode in _mounted(plan).items()
    ]
    environment = order.worker_environment()
    if settings["user"]:
        given.append(f"--user={settings['user']}")
        environment = {"HOME": "/tmp", **environment}  # noqa: S108 (this user has no home in the image)
    given += [f"--env={name}={value}" for name, value in sorted(environment.items())]
    given += [f"--env={name}" for name in settings["pass_env"]]  # docker takes the value from its environment
    given += [f"--label={name}={value}" for name, value in sorted(order.tags().items())]
    return [*given, *settings["docker_arg"]]


def _worker(order: Order) -> list[str]:
    return ["worker", *order.worker_arguments(order.settings["stop_timeout"])]


def _mounted(plan: Plan) -> dict[str, str]:
    """Return what the containers must see under its own name: a study's folder, and files with secrets."""
    scheme, _, place = plan.url.partition("://")
    refs = (parse_secret(f"{name}={ref}") for name, ref in plan.secrets)
    files = {ref.place: ",readonly" for ref in refs if ref.service == "file"}
    return ({unquote(place): ""} if scheme == "file" else {}) | files


def _devices(order: Order) -> list[str]:
    """Return each worker's GPUs, as docker wants them: no two workers share one."""
    each = order.plan.gpus
    if not each:
        return []
    needed = each * order.workers
    listed = order.settings["gpu_devices"]
    pool = listed.split(",") if listed else [str(number) for number in range(needed)]
    if len(pool) < needed:
        raise UserError(
            f"--gpu-devices names {len(pool)} GPUs, and {order.workers} workers with {each} each need {needed}"
        )
    dealt = (pool[index * each : (index + 1) * each] for index in range(order.workers))
    return [f'"device={",".join(devices)}"' for devices in dealt]  # quoted: docker splits at commas
