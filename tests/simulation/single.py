"""Every call of small studies x every fault, one fault for each history."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.faults import APPLY
from tests.simulation.history import Outcome, run_recipe
from tests.simulation.recipe import Recipe, WorkerPlan
from tests.simulation.weather import Single

SMALL = (
    Recipe(
        seed=1,
        trials=2,
        rungs=(1, 2),
        flush_s=0.75,
        lease_s=3.0,
        epoch_s=0.4,
        clear_s=300.0,
        pack_entries=2,
        workers=(WorkerPlan(),),
    ),
    Recipe(
        seed=2,
        trials=2,
        scheduler="none",
        rungs=(2,),
        flush_s=0.75,
        lease_s=3.0,
        epoch_s=0.4,
        clear_s=300.0,
        coordinators=0,
        workers=(WorkerPlan(), WorkerPlan()),
    ),
)
"""Two trials that are promoted, with a coordinator; two workers that tick for themselves."""


def singles(stride: int = 1) -> list[tuple[Recipe, Single]]:
    """Return the histories: each `stride`-th call of a rehearsal, with every fault that its verb may meet."""
    found = []
    for recipe in SMALL:
        verbs = run_recipe(recipe, rehearse=True).calls
        for call in range(0, len(verbs), stride):
            found += [(recipe, Single(call=call, fault=fault)) for fault in APPLY[verbs[call]]]
    return found


def run_singles(stride: int, jobs: int) -> Iterator[Outcome]:
    """Run them all."""
    if jobs <= 1:
        yield from map(run_single, singles(stride))
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_single, singles(stride), chunksize=16)


def run_single(what: tuple[Recipe, Single]) -> Outcome:
    """Run the history of a recipe in which one fault is all that goes wrong."""
    recipe, single = what
    outcome = run_recipe(recipe, single=single)
    words = tuple(f"{single.fault} at call {single.call}: {words}" for words in outcome.violations)
    return Outcome(recipe=recipe, violations=words, digest=outcome.digest, counts=outcome.counts)
