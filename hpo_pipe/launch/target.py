"""What a launch target is: where workers can be started, how it is asked, and what it answers.

A target is one file with one object :data:`TARGET`, and one line in :data:`hpo_pipe.launch.LAUNCHERS`. It decides
nothing about a study, keeps nothing, and may be asked anything twice.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import click

from hpo_pipe.launch.order import Offer, Order, Plan
from storage_schema.codec import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call of a provider's API, as the SDK takes it."""

    service: str
    """The SDK's name of the service, as in ``batch``."""
    operation: str
    """The service's name of the operation, as in ``SubmitJob``."""
    parameters: Mapping[str, Json]

    def to_json(self) -> dict[str, Json]:
        """Return what ``--dry-run`` prints."""
        return {"service": self.service, "operation": self.operation, "parameters": dict(self.parameters)}

    def text(self) -> str:
        """Return a heading for people; the parameters follow it as JSON."""
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCall:
    """One command line of a provider's own program. No secret stands in it: anybody on the machine can list it."""

    argv: tuple[str, ...]
    stdin: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that it is given beside those of the caller. No secrets either."""

    def to_json(self) -> dict[str, Json]:
        """Return what ``--dry-run`` prints; ``environment`` where it is given some."""
        variables = {"environment": dict(self.environment)} if self.environment else {}
        return {"command": list(self.argv), "stdin": self.stdin, **variables}

    def text(self) -> str:
        """Return the command as a shell takes it, its variables by ``env``."""
        variables = [f"{name}={value}" for name, value in self.environment]
        return shlex.join([*(("env", *variables) if variables else ()), *self.argv])


Call = ApiCall | CommandCall

OPTIONAL = frozenset({"gpus", "hiring", "image", "code", "env", "secret", "tag"})
"""Common options that not every target has; `hiring` stands for --spot, --on-demand and --spot-then-on-demand."""


class Refusal(StrEnum):
    """Why a provider did not start what it was asked to."""

    QUOTA = "quota"
    """So many, or that type, are not granted to this account: fewer, or another offer."""
    CAPACITY = "capacity"
    """It has none to give now: another offer, or later."""
    THROTTLED = "throttled"
    """Asked too fast, or the service has a bad moment: later, the same."""
    DENIED = "denied"
    """Somebody has to grant a right."""
    INVALID = "invalid"
    """The request itself is wrong."""
    FAILED = "failed"
    """No refusal of a provider's: it started all of them, and all of them failed. Told where they have ended."""

    @property
    def passes(self) -> bool:
        """Whether time, or another offer, may mend it."""
        return self in (Refusal.QUOTA, Refusal.CAPACITY, Refusal.THROTTLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What a provider answered. Refusals are answers, not errors."""

    jobs: tuple[str, ...] = ()
    """Ids to look at, cancel and read logs of: one for each worker, or one for an array of them."""
    workers: int = 0
    refusal: Refusal | None = None
    """Why it were not all."""
    message: str = ""
    """What the provider said, for people; required with a refusal. No secrets."""


class JobState(StrEnum):
    """What a provider says of one worker's job."""

    PENDING = "pending"
    """Waiting for a machine, for an image, or to be started again."""
    RUNNING = "running"
    DONE = "done"
    """Ended with success."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One worker's job."""

    id: str
    """Names it to :meth:`Target.logs`; of an array, its child."""
    state: JobState
    detail: str = ""
    """The provider's own words: why it waits or failed, where it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a submission's jobs."""

    counts: Mapping[JobState, int]
    """Every worker is in one of them, at most once."""
    jobs: tuple[Job, ...] = ()
    """The same one by one, as far as the provider tells cheaply: at most 1,000."""

    @property
    def alive(self) -> int:
        """How many wait or run."""
        return self.counts.get(JobState.PENDING, 0) + self.counts.get(JobState.RUNNING, 0)

    @property
    def failure(self) -> str:
        """What is to be said where all have failed, and nothing else came of them; else empty."""
        failed = self.counts.get(JobState.FAILED, 0)
        if not failed or failed < sum(self.counts.values()):
            return ""
        detail = next((job.detail for job in self.jobs if job.state is JobState.FAILED and job.detail), "")
        return f"{failed} of {failed} failed{f': {detail}' if detail else ''}"


class TargetUnavailable(Exception):
    """The provider cannot be asked now, or does not let us: nothing is known of the jobs. The message says why."""


class Target(Protocol):
    """One kind of provider. Methods that ask it raise TargetUnavailable; all else they raise is UserError."""

    name: str
    """As on the command line, and as `provider` in what workers say of their machine."""
    summary: str
    """One line for ``hpo-pipe submit --help``."""
    help: str
    """For ``hpo-pipe submit TARGET --help``: what it starts, what it costs when idle, and what to clean up."""
    examples: Sequence[str]
    options: Sequence[click.Option]
    """Its own options, by the provider's own names; values reach :meth:`settings` by their Python names."""
    takes: frozenset[str]
    """Which of :data:`OPTIONAL` it has: the others are not offered on its command line."""
    repeats_safely: bool
    """Whether two equal requests, even at the same instant, start one set of workers: names or tokens are unique."""
    grace_s: float | None
    """Seconds from the first sign that a worker must go to its end; None: what :meth:`settings` say, or no limit."""

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Check own options, with each other and with the plan, asking nobody; return what a record keeps of them.

        Raises:
            UserError: naming the option, what was found, and what is allowed.
        """
        ...

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Return the ways of hiring, best first; one empty Offer where there is nothing to choose."""
        ...

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return the exact requests of a launch, in order. Pure; held against the service's model where it has one.

        Raises:
            UserError: the provider would not take it.
        """
        ...

    def launch(self, order: Order) -> Launched:
        """Start what is not started yet of `order`: called again, even after a crash of the caller, it adds nothing.

        No answer at all (a broken connection) raises TargetUnavailable: it may have started.
        """
        ...

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Tell how the jobs of a submission are. `jobs`: its ids; empty where they were never recorded."""
        ...

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """End the jobs of a submission, or only those that have not begun; return how many.

        Workers that run get the target's grace: they hand back their trials. `jobs` as in :meth:`look`.
        """
        ...

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the last lines that workers printed, of one job or of all, each job under a heading of its id."""
        ...
