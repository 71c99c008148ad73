"""The simulated processes: each runs the product's real code, put together as its command line does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_pipe.coordinator.loop import coordinate
from hpo_pipe.coordinator.world import World as CoordinatorWorld
from hpo_pipe.study import OpenStudy
from storage_schema.errors import DamagedRecord, HpoPipeError, ProtocolViolation, StoreUnavailable, UserError
from storage_schema.store.proof import prove_quickly
from tests.simulation.clock import ProcessClock
from tests.simulation.hub import Process
from tests.simulation.recipe import WorkerPlan
from tests.simulation.store import ProcessStore
from tests.simulation.trials import SimulatedLauncher
from workers.__main__ import EXIT_UNAVAILABLE
from workers.assembly import Plan, assemble, read_study
from workers.interruption import Interruption
from workers.lease import Machine
from workers.loop import EXIT_DONE, EXIT_INTERRUPTED, Ends, Pace
from workers.world import World as WorkerWorld

if TYPE_CHECKING:
    from tests.simulation.world import World


class Actor:
    """One process of the simulation, and what the world knows of it."""

    def __init__(self, world: World, kind: str, number: int) -> None:
        self.kind = kind
        """``worker``, ``coordinator``, ``once`` or ``user``."""
        self.name = f"{kind}-{number}"
        rng = random.Random(f"process/{world.recipe.seed}/{self.name}")
        self.process = Process(world.hub, self.name, rng)
        self.clock = _clock(world, self.process)
        self.store = ProcessStore(world, self)
        self.listing_began = -1.0
        self.truncated: set[str] = set()
        """Keys whose bytes were cut short on their way to this process."""
        self.trials = 0
        """Trials that run on it now."""
        self.slots = 0
        self.ended = threading.Event()
        self.interruption: Interruption | None = None

    def say(self, line: str) -> None:
        """Take talk."""


class TalkingActor(Actor):
    """One whose talk goes into a trace."""

    def __init__(self, world: World, kind: str, number: int) -> None:
        super().__init__(world, kind, number)
        self._world = world

    def say(self, line: str) -> None:
        """Take talk."""
        self._world.tell(self.name, "says", line)


def _clock(world: World, process: Process) -> ProcessClock:
    recipe, rng = world.recipe, process.rng
    return ProcessClock(
        process,
        origin=rng.uniform(0.0, 1e6) + world.hub.now * 0.0,
        rate=1.0 + recipe.rate_error * rng.uniform(-1.0, 1.0),
        ahead_s=rng.uniform(-3600.0, 3600.0) if recipe.bad_clocks else 0.0,
        drift=rng.uniform(-1e-3, 1e-3) if recipe.bad_clocks else 0.0,
    )


def run_worker(world: World, actor: Actor, plan: WorkerPlan) -> int:
    """Do what ``python -m workers`` does."""
    outside = WorkerWorld(
        store=actor.store,
        clock=actor.clock,
        rng=actor.process.rng,
        spawn=actor.process.spawn,
        say=actor.say,
        token=lambda: f"{actor.process.rng.getrandbits(64):016x}",
    )
    study = read_study(outside, None)
    if world.recipe.proves:
        prove_quickly(outside.store, outside.token()).demand()
    interruption = actor.interruption = Interruption(actor.clock, world.recipe.machine_s)
    actor.slots = plan.slots
    scratch = Path(actor.name)
    scratch.mkdir()
    ready = assemble(
        outside,
        study,
        Plan(
            machine=Machine(
                name=actor.name,
                host=f"host-{actor.name}",
                pid=1,
                slots=plan.slots,
                gpus=0,
                facts=(),
                hired=(("price_per_hour", "3600.0"),),
            ),
            gpus=[()] * plan.slots,
            scratch=scratch,
            pace=Pace.of(outside.store.url),
            ends=Ends(idle_timeout_s=plan.idle_timeout_s, max_runtime_s=plan.max_runtime_s, drain=plan.drain),
        ),
        interruption=interruption,
        make_launcher=lambda: SimulatedLauncher(world, actor),
        start_coordinator=world.starter(actor) if plan.starts_coordinator else None,
    )
    status = ready.run()
    if ready.cut_short:
        actor.trials = 0  # they end with this process
    return status


def run_coordinator(world: World, actor: Actor, *, once: bool, until_done: bool) -> int:
    """Do what ``hpo-pipe coordinator`` does."""
    outside = CoordinatorWorld(
        store=actor.store,
        say=actor.say,
        clock=actor.clock,
        rng=actor.process.rng,
        host=f"host-{actor.name}",
        pid=1,
    )
    return coordinate(outside, actor.ended, once=once, until_done=until_done)


def run_wish(world: World, actor: Actor, wish: Callable[[OpenStudy], object]) -> int:
    """Do what ``hpo-pipe pause`` and its like do."""
    wish(OpenStudy(actor.store, actor.clock, actor.process.rng))
    return EXIT_DONE


def unexpected(actor: Actor, status: int | None, error: BaseException | None) -> str:
    """Say what is wrong with the way a process ended; empty where the protocol allows it."""
    if error is None:
        interrupted = actor.interruption is not None or actor.kind in ("coordinator", "once")
        allowed = {None, EXIT_DONE, EXIT_INTERRUPTED} if interrupted else {None, EXIT_DONE, EXIT_UNAVAILABLE}
        return "" if status in allowed else f"{actor.name} ended with status {status}"
    match error:
        case DamagedRecord() if error.key in actor.truncated:
            return ""
        case ProtocolViolation() if str(error).partition(":")[0] in actor.truncated:
            return ""  # its own bytes, read back cut short, look like somebody else's
        case StoreUnavailable() if actor.kind in ("once", "user"):
            return ""
        case StoreUnavailable() if actor.interruption is None and actor.kind == "worker":
            return ""  # at its start: exit status 69
        case UserError() if actor.kind == "user":
            return ""
    kind = "" if isinstance(error, HpoPipeError) else " unexpectedly"
    return f"{actor.name} died{kind} of {type(error).__name__}: {error}"
