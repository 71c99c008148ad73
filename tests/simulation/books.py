"""The books at the end of a history: every trial accounted for, every curve right, and the cold start the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpo_pipe.coordinator.log import Log
from storage_schema.history import History
from storage_schema.keys import SNAPSHOTS
from tests.e2e.accounting import audit
from tests.e2e.lineage import begun_at, state_of
from tests.simulation.trials import lie_of

if TYPE_CHECKING:
    from tests.simulation.world import World


def final_problems(world: World) -> Iterator[str]:
    """Yield what is wrong with a study that has ended."""
    history = world.auditor.log.history
    again = bool(world.recipe.wishes) or world.recipe.target is not None
    for problem in audit(world.store):
        if not (
            again and "was issued twice for rung" in problem
        ):  # the log's book knows what a user had retried
            yield problem
    yield from _curves(world, history)
    yield from _progress(world, history)
    yield from _cold_starts(world, history)


def _curves(world: World, history: History) -> Iterator[str]:
    """Check that what honest trials reported is what an undisturbed run reports, bit for bit and without gaps."""
    for trial in history.trials:
        if lie_of(world, trial.number):
            continue
        curve = dict(trial.curve("loss"))
        wrong = {r: (v, e) for r, v in curve.items() if v != (e := state_of(history, trial.number, r))}
        if wrong:
            yield f"trial {trial.number} reported other values than an undisturbed run: {wrong}"
        reached = trial.resource if world.study.resource else 0
        missing = [
            epoch for epoch in range(begun_at(history, trial.number) + 1, reached + 1) if epoch not in curve
        ]
        if missing:
            yield f"trial {trial.number} reached {reached}, and its curve has no {missing}"


def _progress(world: World, history: History) -> Iterator[str]:
    """Check that what was told of running trials is what they reported at that very epoch."""
    for entry in world.auditor.log.entries:
        for progress in entry.facts.progress if entry.facts else ():
            trial = history.trials[history.specs[progress.spec].issue.trial]
            told = dict(progress.curves.get("loss", ()))
            true = {epoch: state_of(history, trial.number, epoch) for epoch in told}
            if told != true and not lie_of(world, trial.number):
                yield f"log entry {entry.entry} tells of trial {trial.number} {told}; it reported {true}"


def _cold_starts(world: World, history: History) -> Iterator[str]:
    """Check that reading the log from nothing gives the same state, with packs and without."""
    known = picture(history)
    cold = Log(world.store, world.study)
    cold.follow()
    if picture(cold.history) != known:
        yield "a cold start with packs gives another state"
    for stat in list(world.store.list(SNAPSHOTS)):
        world.store.delete(stat.key)
    bare = Log(world.store, world.study)
    bare.follow()
    if picture(bare.history) != known:
        yield "a cold start without packs gives another state"


def picture(history: History) -> tuple[Any, ...]:
    """Return everything that a history knows, to be compared."""
    trials = [(t.number, t.parameters, t.origin, t.bracket, t.stopped, t.specs) for t in history.trials]
    rungs = [(rung.level, rung.ranking, rung.waiting, sorted(rung.promoted)) for rung in history.rungs]
    return (
        history.head,
        repr(trials),
        rungs,
        list(history.open),
        history.limits,
        history.paused,
        history.finished,
        history.queue,
        history.reissue,
        history.best_seen,
        history.issued_resource,
        history.now,
        history.wall_s,
        history.cost,
        history.open_cost,
        history.unpriced,
    )
