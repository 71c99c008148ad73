"""How a worker hears that it must leave its machine, and what it does then: options, and the choice of a source."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from storage_schema.errors import UserError
from storage_schema.graces import MAX_GRACE_S, VARIABLE, grace_of
from storage_schema.trial_env import EXIT_INTERRUPTED
from workers.imds import DISABLED, Metadata, disabled, endpoint_of
from workers.interruption import Interruption
from workers.notices import CHECKPOINT, ON_REBALANCE, Notices
from workers.own_status import tell_end
from workers.slurm import job_of, put_back
from workers.world import World

AUTO, EC2, NONE = "auto", "ec2", "none"
CERTAIN = ("ec2", "aws-batch")
"""Providers whose machines are EC2 instances with their metadata at hand."""
OTHERS = ("sagemaker", "local")
"""Providers that tell by a signal, or not at all, on whatever machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The user's options."""

    grace_s: float | None
    notices: str
    on_rebalance: str
    requeue: bool


def leaving_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `leaving`."""

    @functools.wraps(command)
    def wrapped(
        *, grace: float | None, notices: str, on_rebalance: str, requeue: bool, **others: Any
    ) -> None:
        leaving = Leaving(grace_s=grace, notices=notices, on_rebalance=on_rebalance, requeue=requeue)
        command(leaving=leaving, **others)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped


_OPTIONS = (
    click.option(
        "--grace",
        type=click.FloatRange(0, MAX_GRACE_S, min_open=True),
        metavar="SECONDS",
        help="How long this machine lets a process live after its first signal.  [default: by HPO_PIPE_PROVIDER]",
    ),
    click.option(
        "--notices",
        type=click.Choice((AUTO, EC2, NONE)),
        default=AUTO,
        help="Ask the machine's metadata whether it goes away.  [default: auto, on EC2 only]",
    ),
    click.option(
        "--on-rebalance",
        type=click.Choice(ON_REBALANCE),
        default=CHECKPOINT,
        help="When EC2 recommends to leave: let trials save and go on, or end them well.  [default: checkpoint]",
    ),
    click.option(
        "--requeue",
        is_flag=True,
        help="In a job of Slurm's that is preempted, or near its time limit: put it back into the queue at the end.",
    ),
)


class Departure:
    """What of the options does something, made ready before the worker starts.

    Raises:
        UserError: options that cannot be on this machine.
    """

    def __init__(self, leaving: Leaving, environment: Mapping[str, str], world: World) -> None:
        provider = environment.get(VARIABLE, "")
        grace_s = grace_of(provider) if leaving.grace_s is None else leaving.grace_s
        self.interruption = Interruption(world.clock, grace_s)
        self._world = world
        self._environment = dict(environment)
        self._job = job_of(environment) if leaving.requeue else ""
        self._notices = _notices(leaving, environment, world, self.interruption)

    def watch(self) -> None:
        """Catch signals, and look for notices in a thread of their own. Main thread only."""
        self.interruption.install()
        if self._notices is not None:
            self._world.spawn(self._notices.run, "notices")

    def close(self, status: int) -> None:
        """Put the job back into the queue, if that is wanted. Everything was given back before."""
        if self._job and status == EXIT_INTERRUPTED:
            told = signal.SIGUSR1 in self.interruption.caught
            put_back(self._job, self._environment, self._world.say, now=self._world.clock.now(), told=told)

    def at_once(self, status: int) -> None:
        """End this process though its threads are at work; its guardian kills what is left of the trials."""
        self.close(status)
        sys.stderr.flush()
        tell_end(status)
        os._exit(status)


def certainty(leaving: Leaving, environment: Mapping[str, str], system: Path) -> bool | None:
    """Tell whether to look for notices of EC2: None, no; False, it may be an instance of it; True, it is one.

    Nothing is asked over the network for this: the kernel knows who made the machine.

    Raises:
        UserError: notices are wanted and forbidden.
    """
    if leaving.notices == EC2 and disabled(environment):
        raise UserError(f"--notices {EC2}, and {DISABLED}=true forbids it: drop one of them")
    if leaving.notices == NONE or disabled(environment):
        return None
    provider = environment.get(VARIABLE, "")
    if leaving.notices == EC2 or provider in CERTAIN:
        return True
    return False if provider not in OTHERS and _made_by_amazon(system) else None


def _notices(
    leaving: Leaving, environment: Mapping[str, str], world: World, interruption: Interruption
) -> Notices | None:
    certain = certainty(leaving, environment, Path("/sys"))
    if certain is None:
        return None
    return Notices(
        Metadata(endpoint_of(environment), world.clock),
        interruption,
        world.clock,
        world.say,
        on_rebalance=leaving.on_rebalance,
        certain=certain,
    )


def _made_by_amazon(system: Path) -> bool:
    try:
        return (system / "class/dmi/id/sys_vendor").read_bytes()[:100].strip() == b"Amazon EC2"
    except OSError:
        return False
