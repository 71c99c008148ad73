"""``hpo-pipe submit slurm``: one array of Slurm's, each task a worker."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from hpo_pipe.launch.commands import answer_of, ask
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.own_options import options_of, settings_of
from hpo_pipe.launch.target import Call, CommandCall, JobState, Launched, Look, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.slurm.log_files import tails
from hpo_pipe.launch.targets.slurm.options import TABLE, check
from hpo_pipe.launch.targets.slurm.queue import SOURCE, elements, look_at, refusal_of, without_steps
from hpo_pipe.launch.targets.slurm.script import submission
from storage_schema.codec import Json
from storage_schema.errors import StoreUnavailable, UserError

LOGS = "hpo-pipe-studies/logs"


class Slurm:
    """Workers as the tasks of one array."""

    name = "slurm"
    summary = "An array of jobs on a Slurm cluster."
    help = """Start workers as one array of jobs, each with one task, from a machine where sbatch works.

    The study lies in a bucket, or in a folder that all nodes see; so do --chdir, where the study's command finds its
    files, and --logs. A worker that is preempted, or whose --time is nearly up, saves, gives its trials back, and its
    job waits in the queue again. --grace is how long Slurm lets it: the GraceTime of a partition that others preempt
    (scontrol show partition), else KillWait.

    Nodes are held while workers run: these end with the study, or when they have had nothing to do for --idle-timeout.
    Nothing is left over but the log files.
    """
    examples = (
        "hpo-pipe submit slurm s3://bucket/studies/first --workers 8 --gpus 1 --partition preemptible --time 4:00:00",
        "hpo-pipe submit slurm /shared/studies/first --workers 20 --array-parallelism 5 --gres gpu:a100:1 "
        "--mem 32G --setup 'module load cuda' --grace 120",
    )
    options = options_of(TABLE)
    takes = frozenset({"gpus", "code", "env", "secret"})
    repeats_safely = False  # names of jobs are not unique, and there is no token
    grace_s: float | None = None

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, with the folders and the program that they stand for here."""
        folders = {name: _absolute(given.get(name)) for name in ("chdir", "logs")}
        settings = settings_of(TABLE, {**given, **folders})
        settings["chdir"] = settings["chdir"] or str(Path.cwd())
        settings["logs"] = settings["logs"] or str(Path.cwd() / LOGS)
        settings["program"] = settings["program"] or _own_program()
        check(settings, plan)
        return settings

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Slurm chooses, by partition and constraint."""
        return (Offer(),)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return the command line of sbatch, with the script. With ``--test`` Slurm is asked whether it takes it."""
        call = submission(order)
        if order.settings["test"]:
            _test(call)
        return (call,)

    def launch(self, order: Order) -> Launched:
        """Submit the array, if none of that name is known to Slurm."""
        if found := elements(order.name):
            return Launched(jobs=(found[0].job,), workers=order.workers)
        if missing := _missing(order):
            message = f"--export: {', '.join(missing)} not set in this environment"
            return Launched(refusal=Refusal.INVALID, message=message)
        try:
            Path(order.settings["logs"]).mkdir(
                parents=True, exist_ok=True
            )  # without it jobs fail, and nobody hears
        except OSError as error:
            return Launched(refusal=Refusal.INVALID, message=f"--logs: {error}")
        call = submission(order)
        answer = ask(call.argv, stdin=call.stdin, source=SOURCE)
        if answer.status:
            refusal = refusal_of(answer)
            if refusal is None:
                raise TargetUnavailable(f"sbatch: {answer.message}")
            return Launched(refusal=refusal, message=answer.message)
        job = answer.out.strip().partition(";")[0]  # the cluster's name may stand behind it
        if not job.isdigit():
            raise TargetUnavailable(f"sbatch printed {answer.out[:80]!r}, expected a job's number")
        return Launched(jobs=(job,), workers=order.workers)

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Look into the queue. A task that Slurm has forgotten has ended."""
        return look_at(elements(order.name, *jobs[:1]))

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Take waiting tasks out of the queue, and send SIGTERM to the workers of the others.

        scancel alone would do it too, but kills after KillWait, whatever the grace.
        """
        found = elements(order.name, *jobs[:1])
        pending = sum(e.state is JobState.PENDING for e in found)
        running = [e for e in found if e.state is JobState.RUNNING]
        mine = [f"--name={order.name}", f"--user={os.getuid()}"]
        if pending_only:
            if pending:
                answer_of(["scancel", "--state=PENDING", *mine], source=SOURCE)
            return pending
        for job in sorted({e.job for e in found if e.state in (JobState.PENDING, JobState.RUNNING)}):
            # From now on neither Slurm nor the job itself puts it back; it may have ended meanwhile.
            ask(["scontrol", "update", f"JobId={job}", "Requeue=0"], source=SOURCE)
        if pending:
            answer_of(["scancel", "--state=PENDING", *mine], source=SOURCE)
        if running:
            before = without_steps(running, order.name)
            answer_of(["scancel", "--signal=TERM", "--state=RUNNING", *mine], source=SOURCE)
            if before:
                ask(["scancel", *before], source=SOURCE)
        return pending + len(running)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the ends of the log files; a job that was put back goes on in the same one."""
        return tails(Path(order.settings["logs"]), order.name, *jobs[:1], task=job, lines=lines)


TARGET = Slurm()


def _test(call: CommandCall) -> None:
    """Ask Slurm whether it would take it, and say so.

    Raises:
        UserError: it would not.
        StoreUnavailable: it does not answer.
    """
    try:
        answer = ask([call.argv[0], "--test-only", *call.argv[1:]], stdin=call.stdin, source=SOURCE)
    except TargetUnavailable as error:
        raise StoreUnavailable(f"sbatch --test-only: {error}") from None
    if not answer.status:
        click.echo(f"Slurm would take it: {answer.message.removeprefix('sbatch: ')}", err=True)
    elif refusal_of(answer) is None:
        raise StoreUnavailable(f"sbatch --test-only: {answer.message}")
    else:
        raise UserError(f"sbatch --test-only: {answer.message}")


def _absolute(folder: Json) -> Json:
    """Return a folder as all nodes call it."""
    return str(Path(folder).expanduser().absolute()) if folder else None


def _own_program() -> str:
    """Return this installation's hpo-pipe: on a cluster nodes usually see the same files."""
    beside = Path(sys.executable).with_name("hpo-pipe")
    return str(beside) if beside.exists() else shutil.which("hpo-pipe") or "hpo-pipe"


def _missing(order: Order) -> list[str]:
    """Return which variables are to be passed on, and are not there."""
    names = order.settings["export"].split(",")
    return [name for name in names if name not in ("ALL", "NONE") and name not in os.environ]  # noqa: TID251 (an edge)
