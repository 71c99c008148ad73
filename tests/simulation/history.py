"""One history from its recipe: weather, clearing up, the end of the study, and the books at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hpo_pipe.coordinator import log, packs
from hpo_pipe.registry import options_of
from hpo_pipe.schedulers import SCHEDULERS, kept_checkpoints, levels_of, milestones_of
from hpo_pipe.searchers import SEARCHERS
from storage_schema.errors import HpoPipeError
from storage_schema.records import Limits, Metric, Program, Resource, Study, Timing
from tests.simulation.books import final_problems
from tests.simulation.happenings import Happenings
from tests.simulation.hub import FOREVER
from tests.simulation.recipe import Recipe, drawn
from tests.simulation.weather import Single
from tests.simulation.world import Tell, World

END_S = 900.0
"""Of virtual time after the weather has cleared: by then every study must have ended."""
LEAVE_S = 120.0
"""And so long after that, every worker must have noticed."""
STEP_S = 2.0
MOST_REOPENINGS = 20
SMALL_ENOUGH: dict[str, dict[str, object]] = {
    "median": {"min_trials": 1, "grace": 1, "interval": 1},
    **{name: {"population_size": 3, "interval": 1} for name in ("pbt", "pb2")},
    "kde": {"n_min": 2, "num_samples": 16, "random_fraction": 0.1},
    "gp": {"initial": 2, "random_share": 0.0},
    "tpe": {"n_startup_trials": 2},
    **{name: {"initial": 2} for name in ("forest", "hyper_tune", "freeze_thaw")},
}
"""Options with which an algorithm acts in a study of a few trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one seed."""

    recipe: Recipe
    violations: tuple[str, ...]
    digest: str
    """Of every event in its order: equal seeds have equal digests."""
    counts: dict[str, float] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    """The verb of each call, where it was asked for."""

    @property
    def replay(self) -> str:
        """The command that shows this history again."""
        return f"python -m tests.simulation --seed {self.recipe.seed} --trace"


def run_seed(seed: int, *, tell: Tell | None = None) -> Outcome:
    """Run the history of a seed."""
    return run_recipe(drawn(seed), tell=tell)


def run_recipe(
    recipe: Recipe, *, single: Single | None = None, tell: Tell | None = None, rehearse: bool = False
) -> Outcome:
    """Run the history of a recipe; with `single`, one fault is all that goes wrong."""
    began = time.perf_counter()
    with _scratch(), _packs_of(recipe.pack_entries):
        world = World(recipe, study_of(recipe), single=single, tell=tell)
        world.weather.verbs = [] if rehearse else None
        try:
            _live(world)
        finally:
            world.close()
        if not world.violations:
            try:
                for problem in final_problems(world):
                    world.fail(problem)
            except HpoPipeError as error:
                world.fail(f"the study cannot be read when it has ended: {error}")
    counts: dict[str, float] = dict(world.counts)
    counts |= {
        "virtual s": world.hub.now,
        "events": world.hub.events,
        "entries": len(world.auditor.log.entries),
        "specs": len(world.auditor.log.history.specs),
        "attempts": world.auditor.attempts,
        "real s": time.perf_counter() - began,
    }
    return Outcome(
        recipe=recipe,
        violations=tuple(world.violations),
        digest=world.digest,
        counts=counts,
        calls=tuple(world.weather.verbs or ()),
    )


def study_of(recipe: Recipe) -> Study:
    """Return the study of a recipe."""
    scheduler = _algorithm(recipe, recipe.scheduler, SCHEDULERS)
    space: tuple[dict[str, object], ...] = (
        {"name": "lr", "type": "float", "min": 0.0, "max": 0.2, "grid_points": 4},
        {"name": "kind", "type": "categorical", "values": ["a", "b", "c"]},
    )
    return Study(
        name="simulated",
        token="t",
        created_at=0.0,
        seed=recipe.seed,
        space=space,
        metrics=(Metric(name="loss"), Metric(name="accuracy", goal="maximize")),
        resource=_resource(recipe, scheduler),
        scheduler=scheduler,
        searcher=_algorithm(recipe, recipe.searcher, SEARCHERS),
        keep_checkpoints=kept_checkpoints(SCHEDULERS[recipe.scheduler]),
        limits=Limits(
            trials=recipe.trials,
            total_resource=recipe.total_resource,
            target=recipe.target,
            cost=1e12 if recipe.seed % 2 else None,  # never reached, and reckoned with in every decision
        ),
        program=Program(command=("train",)),
        timing=Timing(
            flush_s=recipe.flush_s, lease_s=recipe.lease_s, tick_s=recipe.tick_s, grace_s=recipe.grace_s
        ),
        retries=recipe.retries,
        max_attempts=recipe.max_attempts,
        enqueued=({"lr": 0.123},) if recipe.seed % 5 == 0 else (),
    )


def _algorithm(recipe: Recipe, name: str, registry: dict[str, type[Any]]) -> dict[str, object]:
    """Return a scheduler or searcher as study.json names it."""
    found: dict[str, object] = {"name": name, **SMALL_ENOUGH.get(name, {})}
    if "eta" in {field.name for field in fields(registry[name].Options)}:
        found["eta"] = 2 if recipe.seed % 2 else 3
    return found


def _resource(recipe: Recipe, scheduler: dict[str, object]) -> Resource | None:
    rungs = recipe.rungs
    if not rungs:
        return None
    algorithm = SCHEDULERS[recipe.scheduler]
    options = options_of(algorithm, scheduler, "simulated", "scheduler")
    if hasattr(algorithm, "levels"):
        rungs = levels_of(algorithm, options, rungs[0], rungs[-1], 3)
    milestones = milestones_of(algorithm, options, rungs)
    return Resource(name="epoch", min=rungs[0], max=rungs[-1], rungs=rungs, milestones=milestones)


def _live(world: World) -> None:
    happenings = Happenings(world)
    happenings.begin()
    hub = world.hub
    hub.run(world.recipe.clear_s)
    happenings.clear_up()
    for _ in range(MOST_REOPENINGS):
        if not _reached(world, lambda: world.auditor.closed, END_S, happenings.mend):
            _fail_late(world, f"the study has not ended {END_S:g} s after the weather cleared")
            return
        if not _reached(world, lambda: not _workers(world), LEAVE_S, happenings.mend):
            _fail_late(world, f"workers have not noticed the study's end after {LEAVE_S:g} s")
            return
        happenings.dismiss()
        hub.run(FOREVER)  # until all that was late has landed
        if world.auditor.closed or hub.stopped:
            return
        happenings.reopen()  # a user's late entry
    world.fail("the study is opened again and again")


def _reached(world: World, goal: Callable[[], bool], limit_s: float, mend: Callable[[], None]) -> bool:
    """Run until `goal`; tell whether it was reached within `limit_s` of virtual time."""
    hub = world.hub
    until = hub.now + limit_s
    while not hub.stopped and not goal():
        if hub.now >= until:
            return False
        hub.run(hub.now + STEP_S)
        mend()
    return True


def _fail_late(world: World, words: str) -> None:
    if world.violations:
        return
    history = world.auditor.log.history
    open_specs = {str(spec): [str(k.kind) for k in world.auditor.chains.links(spec)] for spec in history.open}
    alive = [actor.name for actor in world.alive()]
    world.fail(f"{words}; finished: {history.finished}, open: {open_specs}, alive: {alive}")


def _workers(world: World) -> bool:
    return any(actor.process.alive for actor in world.actors if actor.kind == "worker")


@contextmanager
def _scratch() -> Iterator[None]:
    """Work in a fresh folder, in memory where there is one: relative paths make error texts the same everywhere."""
    before = Path.cwd()
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(
        prefix="hpo-pipe-simulation-", dir=memory if os.access(memory, os.W_OK) else None
    )
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _packs_of(entries: int) -> Iterator[None]:
    """Pack so many log entries at once: a study of 64 entries would be a long one here."""
    before = packs.PACK_ENTRIES
    packs.PACK_ENTRIES = log.PACK_ENTRIES = entries
    try:
        yield
    finally:
        packs.PACK_ENTRIES = log.PACK_ENTRIES = before
