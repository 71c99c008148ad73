"""Slurm: a worker that was interrupted, and not cancelled, puts its job back into the queue (``worker --requeue``)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage_schema.errors import UserError

TIMEOUT_S = 15.0
NEAR_S = 180.0
"""So much before its time limit a job's time is nearly up, also where no SIGUSR1 told so: 2 minutes, and the one that
Slurm may be early."""
LEAST_RUN_S = 20.0
"""A job that ran shorter is not put back for its time limit: it would turn round for ever."""

_ID = re.compile(r"[1-9][0-9]{0,17}|0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands, as Slurm's controller says. Times are seconds since the epoch; None: there is none."""

    state: str
    started: int | None
    ends: int | None
    preempted: int | None
    """It keeps the time of its last run, too."""
    requeue: bool
    """Whether it may be put back."""

    @classmethod
    def of(cls, told: str) -> Standing:
        """Read what ``scontrol --oneliner show job`` printed, with times as numbers."""

        def field(name: str) -> str:
            found = re.search(rf"(?:^|\s){name}=(\S*)", told)
            return found[1] if found else ""

        def time(name: str) -> int | None:
            text = field(name)
            return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None

        return cls(
            state=field("JobState"),
            started=time("StartTime"),
            ends=time("EndTime"),
            preempted=time("PreemptTime"),
            requeue=field("Requeue") != "0",
        )

    def goes_on(self, now: float, *, told: bool) -> bool:
        """Tell whether it was preempted or its time is nearly up, and nobody ended it.

        A job that is cancelled, or is being killed, is not RUNNING any more. Slurm itself puts one back that was
        preempted and runs until it is killed.

        Args:
            now: seconds since the epoch.
            told: SIGUSR1 came, as ``sbatch --signal=USR1`` wants it before the time limit.
        """
        if self.state != "RUNNING" or self.started is None:
            return False
        if self.preempted is not None and self.preempted > self.started:
            return True
        near = told or (self.ends is not None and self.ends - now <= NEAR_S)
        return near and now - self.started >= LEAST_RUN_S


def job_of(environment: Mapping[str, str]) -> str:
    """Return the job's id as ``scontrol`` takes it; ``<array>_<task>`` for a task of an array.

    Of an array's last task the number alone would be the whole array.

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


def put_back(
    job: str, environment: Mapping[str, str], say: Callable[[str], None], *, now: float, told: bool
) -> None:
    """Put the job back into the queue, if it goes on. Last thing of all: Slurm may end this process for it.

    Never raises.
    """
    try:
        standing = Standing.of(_scontrol(environment, "--oneliner", "show", "job", job))
        if not standing.goes_on(now, told=told):
            return
        if not standing.requeue:
            raise _NotDoneError("Requeue=0; sbatch --requeue allows it")
        _scontrol(environment, "requeue", job)
        say(f"Slurm's job {job} is back in the queue")
    except _NotDoneError as error:
        say(f"Slurm's job {job} could not be put back into the queue: {error}")


class _NotDoneError(Exception):
    pass


def _scontrol(environment: Mapping[str, str], *arguments: str) -> str:
    """Return what it printed; raises _NotDoneError."""
    try:
        done = subprocess.run(
            ["scontrol", *arguments],
            env={**environment, "SLURM_TIME_FORMAT": "%s"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NotDoneError(str(error)) from None
    if done.returncode:
        told = done.stdout[:500].decode(errors="replace").strip().replace("\n", "; ")
        raise _NotDoneError(f"exit status {done.returncode}, {told}")
    return done.stdout.decode(errors="replace")
