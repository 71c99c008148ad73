"""Putting a worker together from a study, a world and the user's options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage_schema.codec import sha256
from storage_schema.errors import StudyNotFound, UserError
from storage_schema.keys import STUDY
from storage_schema.records import Study
from storage_schema.store import Blob
from workers.attempt import Bench
from workers.board import BoardReader
from workers.checkpoint_cache import CheckpointCache
from workers.claim import Desk
from workers.interruption import CLOSE_LIMIT_S, Interruption
from workers.lease import Lease, Machine
from workers.loop import Ends, Pace, Worker
from workers.slot import Control, Slot
from workers.trial_process import Launcher
from workers.world import World

START_LIMIT_S = 60.0
"""How long a worker waits for a store that is away when it starts."""


class StudyRefused(UserError):
    """The study is not the one that the user allowed this worker to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one worker is to run."""

    machine: Machine
    gpus: Sequence[tuple[str, ...]]
    """One tuple for each slot."""
    scratch: Path
    pace: Pace
    ends: Ends = field(default_factory=Ends)


def read_study(world: World, wanted_sha256: str | None) -> Study:
    """Read ``study.json``, waiting for the store if need be.

    Raises:
        StudyNotFound: there is none.
        StudyRefused: it has not the sha256 that the user wants.
        DamagedRecord, NewerFormat: it cannot be read.
        GaveUp: the store was away for too long.
    """
    patience = world.patience(lambda: False, START_LIMIT_S)
    found = patience.through(lambda: world.store.get(STUDY))
    if not isinstance(found, Blob):
        raise StudyNotFound(f"no study at {world.store.url} (looked for {STUDY}); hpo-pipe create makes one")
    digest = sha256(found.data)
    if wanted_sha256 is not None and digest != wanted_sha256.lower():
        raise StudyRefused(
            f"{world.store.url}/{STUDY} has sha256 {digest}, --study-sha256 wants {wanted_sha256}"
        )
    return Study.from_bytes(found.data)


def assemble(
    world: World,
    study: Study,
    plan: Plan,
    *,
    interruption: Interruption,
    make_launcher: Callable[[], Launcher],
    start_coordinator: Callable[[], None] | None,
) -> Worker:
    """Return a worker that is ready to run."""
    control = Control()
    board = BoardReader(world)
    lease = Lease(world, study.timing, plan.machine)
    cache = CheckpointCache(plan.scratch / "cache")
    bench = Bench(world=world, study=study, lease=lease, cache=cache, interruption=interruption)
    desk = Desk(
        world,
        study,
        board,
        lease,
        max_age_s=plan.pace.max_age_s,
        stopping=lambda: control.stopping,
        give_up=lambda: interruption.lasted_s() > CLOSE_LIMIT_S,
    )
    slots = [Slot(bench, desk, control, make_launcher(), plan.scratch, gpus) for gpus in plan.gpus]
    return Worker(
        world,
        study.timing,
        board=board,
        lease=lease,
        slots=slots,
        control=control,
        interruption=interruption,
        pace=plan.pace,
        ends=plan.ends,
        start_coordinator=start_coordinator,
    )
