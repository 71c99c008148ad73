"""The batch script of a worker, and the command that submits it. Pure."""

from __future__ import annotations

import shlex

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import CommandCall
from hpo_pipe.launch.targets.slurm.options import gpu_arguments
from storage_schema.machine import VARIABLES

_SCRIPT = r"""#!/bin/bash
{header}
# One worker of an hpo-pipe study, which trains trial after trial.
trap : TERM USR1 # this shell waits for the worker, whatever comes
{setup}{variables}
# Slurm itself puts back only a job that runs until it is killed, so the worker that has given everything back does it
# (--requeue): where it was preempted or its time is nearly up, and nobody cancelled it.
{worker} &
worker=$!

# At once Slurm tells only job steps that the job is preempted, and it tells every process of a step: trainings would be
# ended, too, before they have saved. So the step only listens, and tells the worker, which lets its trainings save.
# SIGUSR2 is a notice: where the job itself is ended, and Slurm tells the worker, too, it makes no hurry.
# shellcheck disable=SC2016 # for the other shell
srun --overlap --ntasks=1 --cpus-per-task=1 --gres=none --export=ALL bash -c '
    trap "kill -USR1 $1" USR1
    trap "kill -USR2 $1" TERM
    while kill -0 "$1" 2>/dev/null; do
        sleep 1 &
        wait "$!"
    done
' _ "$worker" </dev/null &

wait "$worker"
status=$?
while [ "$status" -gt 128 ] && kill -0 "$worker" 2>/dev/null; do
    wait "$worker" # a signal had cut it short
    status=$?
done
exit "$status"
"""


def submission(order: Order) -> CommandCall:
    """Return the command line that submits the workers, with the script on its standard input.

    The options stand in both: in the script for who wants to keep it, and on the command line because SBATCH_*
    variables of a user go before a script.
    """
    arguments = sbatch_arguments(order)
    argv = ("sbatch", "--parsable", *arguments, *order.settings["sbatch_arg"])
    return CommandCall(argv=argv, stdin=script(order))


def sbatch_arguments(order: Order) -> list[str]:
    """Return sbatch's options, those apart that the user gave in sbatch's own words."""
    settings, plan = order.settings, order.plan
    at_once = settings["array_parallelism"]
    given = {
        "--job-name": order.name,
        "--comment": order.name,
        "--array": f"0-{order.workers - 1}" + (f"%{at_once}" if at_once else ""),
        "--ntasks": "1",
        "--partition": settings["partition"],
        "--account": settings["account"],
        "--qos": settings["qos"],
        "--time": settings["time"],
        "--cpus-per-task": settings["cpus_per_task"],
        "--mem": settings["mem"],
        "--constraint": settings["constraint"],
        "--nice": settings["nice"],
        "--signal": f"USR1@{settings['signal_seconds']}",  # without B: it goes to the steps, so to the worker
        "--open-mode": "append",
        "--output": f"{settings['logs']}/{order.name}-%A_%a.log",
        "--export": settings["export"],
        "--chdir": settings["chdir"],
    }
    named = [f"{name}={value}" for name, value in given.items() if value is not None]
    return [*named, "--requeue", *gpu_arguments(settings, plan)]


def script(order: Order) -> str:
    """Return the batch script."""
    settings = order.settings
    header = [*sbatch_arguments(order), *settings["sbatch_arg"]]
    return _SCRIPT.format(
        header="\n".join(f"#SBATCH {_quoted(argument)}" for argument in header),
        setup="".join(f"{line}\n" for line in settings["setup"]),
        variables="\n".join(_variables(order)),
        worker=shlex.join(_worker(order)),
    )


def _worker(order: Order) -> list[str]:
    return [
        order.settings["program"],
        "worker",
        "--requeue",
        *order.worker_arguments(order.settings["grace"]),
    ]


def _variables(order: Order) -> list[str]:
    """Return the worker's variables; what the submitting shell says of another machine's hire is not passed on."""
    given = order.worker_environment()
    others = sorted(set(VARIABLES) - set(given))
    return [f"unset {' '.join(others)}", *(f"export {n}={shlex.quote(v)}" for n, v in sorted(given.items()))]


def _quoted(argument: str) -> str:
    """Return an argument as sbatch reads it in a line of ``#SBATCH``."""
    if not set(argument) & set(" \t'\"\\#"):
        return argument
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'
