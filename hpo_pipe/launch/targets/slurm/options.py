"""Options of ``submit slurm``, and the rules between them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hpo_pipe.launch.order import Plan
from hpo_pipe.launch.own_options import Own
from storage_schema.codec import Json
from storage_schema.errors import UserError

GRACE_S = 30
"""Slurm's own default of KillWait: between the SIGTERM and the SIGKILL of a job that it ends."""
SIGNAL_S = 120
EARLY_S = 60
"""Slurm may signal so much before the time it was told."""

_WORD = r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}"
_WORDS = rf"{_WORD}(,{_WORD})*"
_PATH = r"/[^%\\\x00-\x1f\x7f]{0,1000}"

TABLE: Final[tuple[Own, ...]] = (
    Own(
        name="--partition",
        help="Partitions, the first one that has room.",
        pattern=_WORDS,
        example="gpu,preemptible",
    ),
    Own(name="--account", help="Whom it is charged to.", pattern=_WORD, example="vision"),
    Own(name="--qos", help="Quality of service.", pattern=_WORD, example="low"),
    Own(
        name="--time",
        help="Time limit of one worker's job; it goes on in the queue again.  [default: the partition's]",
        pattern=r"([0-9]{1,6}-)?[0-9]{1,6}(:[0-9]{1,2}){0,2}|UNLIMITED",
        example="4:00:00 or 1-12",
    ),
    Own(
        name="--gres",
        help="Generic resources of each worker, GPUs among them; instead of --gpus.",
        pattern=r"[a-z][A-Za-z0-9_.:,=-]{0,200}",
        example="gpu:a100:2",
    ),
    Own(
        name="--gpus-per-task",
        help="GPUs of each worker in Slurm's other way; instead of --gpus.",
        pattern=r"([A-Za-z][A-Za-z0-9_.-]{0,63}:)?[1-9][0-9]{0,3}",
        example="a100:2",
    ),
    Own(name="--cpus-per-task", help="CPUs of each worker.", low=1, high=100_000),
    Own(
        name="--mem",
        metavar="SIZE",
        help="Memory of each worker.",
        pattern=r"[0-9]{1,9}[KMGT]?",
        example="16G",
    ),
    Own(
        name="--constraint",
        help="Features that nodes must have.",
        pattern=r"[A-Za-z0-9_.&|!*()\[\],-]{1,500}",
        example="a100|h100",
    ),
    Own(name="--nice", help="Lowers the priority.", low=-2_147_483_645, high=2_147_483_645),
    Own(name="--array-parallelism", help="At most so many of the workers at a time.", low=1, high=10_000),
    Own(
        name="--signal-seconds",
        help="The worker is told so long before its time limit.",
        low=1,
        high=65_535,
        default=SIGNAL_S,
    ),
    Own(
        name="--grace",
        metavar="SECONDS",
        help="Seconds between SIGTERM and SIGKILL: the GraceTime of a partition that is preempted, or KillWait.",
        low=1,
        high=86_400,
        default=GRACE_S,
    ),
    Own(
        name="--setup",
        metavar="LINE",
        help="A line of bash before the worker, such as 'module load cuda'; may be repeated.",
        pattern=r"[^\x00-\x08\x0a-\x1f\x7f]{1,2000}",
        multiple=True,
        most=64,
    ),
    Own(
        name="--export",
        help="What of this shell's environment workers get: ALL, NONE or names.",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_]*)*",
        example="ALL, NONE or WANDB_API_KEY,AWS_PROFILE",
        default="ALL",
    ),
    Own(
        name="--chdir",
        metavar="FOLDER",
        help="Folder that workers and trials run in.  [default: this one]",
        pattern=_PATH,
        example="/home/you/project",
    ),
    Own(
        name="--logs",
        metavar="FOLDER",
        help="Folder for what workers print, seen by nodes.  [default: hpo-pipe-studies/logs]",
        pattern=_PATH,
        example="/home/you/logs",
    ),
    Own(
        name="--program",
        help="hpo-pipe on the nodes.  [default: the one that runs here]",
        pattern=r"[A-Za-z0-9_./@+~-]{1,1000}",
        example="/opt/hpo-pipe/bin/hpo-pipe",
    ),
    Own(
        name="--sbatch-arg",
        help="A further option of sbatch, such as --exclusive; may be repeated.",
        pattern=r"-[^\x00-\x1f\x7f]{1,500}",
        example="--reservation=demo",
        multiple=True,
    ),
    Own(
        name="--test", help="Have Slurm check it first (sbatch --test-only), with --dry-run, too.", flag=True
    ),
)

TAKEN: Mapping[str, str] = {
    **{f"--{own}": f"--{own}" for own in ("partition", "account", "qos", "time", "gres", "gpus-per-task")},
    **{f"--{own}": f"--{own}" for own in ("cpus-per-task", "mem", "constraint", "nice", "export", "chdir")},
    "--array": "--workers and --array-parallelism",
    "--gpus": "--gpus",
    "--ntasks": "--workers: each is a job of one task",
    "--nodes": "--workers: each is a job on one node",
    "--signal": "--signal-seconds",
    "--test-only": "--test",
    "--output": "--logs",
    "--error": "--logs",
}
"""Options of sbatch that have one of ours in their place."""
OURS = (
    "--job-name",
    "--comment",
    "--parsable",
    "--requeue",
    "--no-requeue",
    "--open-mode",
    "--wait",
    "--wrap",
)
_SHORT: Mapping[str, str] = dict(
    zip(
        ("-p", "-A", "-q", "-t", "-c", "-C", "-D", "-a", "-n", "-N", "-o", "-e", "-J", "-W", "-G"),
        (
            *("--partition", "--account", "--qos", "--time", "--cpus-per-task", "--constraint", "--chdir"),
            *("--array", "--ntasks", "--nodes", "--output", "--error", "--job-name", "--wait", "--gpus"),
        ),
        strict=True,
    )
)


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and against the plan.

    Raises:
        UserError: one line for each mistake.
    """
    lines = [line for rule in (_gpus, _seconds, _further) if (line := rule(settings, plan))]
    if lines:
        raise UserError("\n".join(lines))


def gpu_arguments(settings: Mapping[str, Json], plan: Plan) -> list[str]:
    """Return sbatch's options for GPUs."""
    if settings["gres"]:
        return [f"--gres={settings['gres']}"]
    if settings["gpus_per_task"]:
        return [f"--gpus-per-task={settings['gpus_per_task']}"]
    return [f"--gres=gpu:{plan.gpus}"] if plan.gpus else []


def seconds_of(time: str) -> float:
    """Return what a time limit in Slurm's notation means."""
    if time == "UNLIMITED":
        return math.inf
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, [*parts, 0][:2]
    return 86_400.0 * int(days or 0) + 3600.0 * hours + 60.0 * minutes + seconds


def _gpus(settings: Mapping[str, Json], plan: Plan) -> str:
    given = {
        "--gpus": plan.gpus is not None,
        "--gres": settings["gres"],
        "--gpus-per-task": settings["gpus_per_task"],
    }
    named = [option for option, value in given.items() if value]
    if len(named) < 2:
        return ""
    return f"{' and '.join(named)}: expected one of them; --gpus N stands for --gres=gpu:N"


def _seconds(settings: Mapping[str, Json], plan: Plan) -> str:
    signal_s, grace_s, time = settings["signal_seconds"], settings["grace"], settings["time"]
    if signal_s < grace_s:
        return f"--signal-seconds is {signal_s}, expected at least --grace, {grace_s}"
    if time and seconds_of(time) <= signal_s + EARLY_S:
        return (
            f"--time is {time!r}, expected more than --signal-seconds and {EARLY_S} s, which Slurm may be early: "
            f"{signal_s + EARLY_S} s in all"
        )
    return ""


def _further(settings: Mapping[str, Json], plan: Plan) -> str:
    for text in settings["sbatch_arg"]:
        name = text.partition("=")[0].split()[0] if text.startswith("--") else _SHORT.get(text[:2], text[:2])
        whole = [taken for taken in (*TAKEN, *OURS) if taken == name]  # getopt takes a beginning, too
        meant = whole or [
            taken for taken in (*TAKEN, *OURS) if name.startswith("--") and taken.startswith(name)
        ]
        if meant:
            instead = TAKEN.get(meant[0])
            return f"--sbatch-arg {text[:80]!r}: " + (f"write {instead}" if instead else "hpo-pipe sets it")
    return ""
