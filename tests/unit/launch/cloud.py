"""A provider in memory: capacity that comes and goes, refusals, crashes of who asks it, and jobs that are workers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from hpo_pipe.launch.desk import Desk
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.submissions import Submissions
from hpo_pipe.launch.target import (
    Call,
    CommandCall,
    Job,
    JobState,
    Launched,
    Look,
    Refusal,
    TargetUnavailable,
)
from hpo_pipe.report.state import StudyWatch
from storage_schema.codec import Json
from tests.unit.coordinator.world import World, never

WAITS = (JobState.PENDING, JobState.RUNNING)


class Crash(Exception):
    """Whoever asked dies here."""


@dataclass(slots=True)
class Machine:
    """One job of the cloud."""

    id: str
    order: Order
    state: JobState = JobState.PENDING


class Cloud:
    """One provider. By default it gives everything at once, and never forgets a name."""

    name = "cloud"
    summary = help = "A cloud."
    examples = ()
    options: Sequence[click.Option] = ()
    takes = frozenset({"hiring"})
    grace_s = 30.0

    def __init__(self, *, repeats_safely: bool = True) -> None:
        self.repeats_safely = repeats_safely
        self.machines: dict[str, Machine] = {}
        self.asked: list[tuple[int, str, int]] = []
        """Number, offer, workers of each request that reached it."""
        self.refuses: Callable[[Order], tuple[int, Refusal | None]] = lambda order: (order.workers, None)
        """How many of an order are given, and why not all."""
        self.away = ""
        """Why nobody can ask it now."""
        self.crash = ""
        """Who launches dies `before` or `after` the request."""
        self.during: Callable[[], None] = lambda: None
        """What others do while a request is under way."""

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        return {}

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        return tuple(
            Offer(instance_type=kind, lifecycle=way)
            for way in (("spot", "on-demand") if plan.hiring == "spot-then-on-demand" else ("spot",))
            for kind in settings.get("types", ["a"])
        )

    def calls(self, order: Order) -> tuple[Call, ...]:
        return (CommandCall(argv=("cloud", order.name)),)

    def launch(self, order: Order) -> Launched:
        if self.crash == "before":
            raise Crash
        self._reach()
        known = self.of(order)
        self.during()
        if self.repeats_safely:  # names are unique: what came in meanwhile is found as well
            known = self.of(order)
        if not known:
            given, refusal = self.refuses(order)
            self.asked.append((order.number, str(order.offer), order.workers))
            known = [Machine(f"{order.name}-{len(self.machines)}-{i}", order) for i in range(given)]
            self.machines |= {machine.id: machine for machine in known}
        else:
            refusal = None
        if self.crash == "after":
            raise Crash
        ids = tuple(machine.id for machine in known)
        return Launched(
            jobs=ids, workers=len(ids), refusal=refusal, message=f"no more of {order.offer}" * bool(refusal)
        )

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        self._reach()
        found = [Job(id=machine.id, state=machine.state) for machine in self.of(order)]
        return Look(counts=Counter(job.state for job in found), jobs=tuple(found))

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        self._reach()
        wanted = (JobState.PENDING,) if pending_only else WAITS
        found = [m for m in self.of(order) if m.state in wanted and (not jobs or m.id in jobs)]
        for machine in found:
            machine.state = JobState.CANCELLED
        return len(found)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        yield from ()

    def of(self, order: Order) -> list[Machine]:
        """Return all machines of one submission."""
        return [machine for machine in self.machines.values() if machine.order.name == order.name]

    def alive(self) -> list[Machine]:
        """Return what waits or runs: what is paid for, or will be."""
        return [machine for machine in self.machines.values() if machine.state in WAITS]

    def _reach(self) -> None:
        if self.away:
            raise TargetUnavailable(self.away)


def a_plan(world: World, **changes: object) -> Plan:
    """Return a plan for the world's study."""
    values: dict[str, object] = {
        "url": world.store.url,
        "study": "small",
        "study_sha256": "0" * 64,
        "slots": 1,
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def a_desk(world: World, said: list[str] | None = None, seed: int = 0) -> Desk:
    """Return a desk of one launcher process."""
    rng = random.Random(seed)
    submissions = Submissions(world.store, never, f"launcher-{seed}", rng)
    return Desk(submissions, world.clock, (said if said is not None else []).append)


def a_look(world: World) -> Callable[[], object]:
    """Return what looks at the world's study."""
    watch = StudyWatch(world.store)
    return lambda: watch.look(world.clock.now())
