"""Slurm: a worker that was told of its time limit puts its job back into the queue (``worker --requeue``)."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from storage_schema.errors import UserError

TIMEOUT_S = 15.0

_ID = re.compile(r"[1-9][0-9]{0,17}|0")


def job_of(environment: Mapping[str, str]) -> str:
    """Return the job's id as ``scontrol requeue`` takes it; ``<array>_<task>`` for a task of an array.

    Raises:
        UserError: this is no job of Slurm's, or one of several tasks, which a requeue would take along.
    """
    job, array, task = (
        environment.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    )
    if not _ID.fullmatch(job):
        what = f"SLURM_JOB_ID is {job[:40]!r}" if job else "SLURM_JOB_ID is not set"
        raise UserError(f"--requeue: {what}; it is for workers in a job of Slurm's")
    if environment.get("SLURM_NTASKS", "1") != "1":
        raise UserError(
            f"--requeue: the job has SLURM_NTASKS={environment['SLURM_NTASKS'][:20]}, expected one task: "
            "putting it back ends them all. Use an array (sbatch --array) instead"
        )
    if _ID.fullmatch(array) and _ID.fullmatch(task):
        return f"{array}_{task}"
    return job


def wants_requeue(caught: Sequence[int]) -> bool:
    """Tell whether the signals that came mean: the time is up. SIGTERM is what ``scancel`` sends, too."""
    return signal.SIGUSR1 in caught and signal.SIGTERM not in caught


def requeue(job: str, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Put the job back into the queue. Last thing of all: Slurm may end this process for it. Never raises."""
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"Slurm's job {job} could not be put back into the queue: {error}")
        return
    if done.returncode == 0:
        say(f"Slurm's job {job} is back in the queue")
        return
    told = done.stdout[:500].decode(errors="replace").strip().replace("\n", "; ")
    say(f"Slurm's job {job} could not be put back into the queue: exit status {done.returncode}, {told}")
