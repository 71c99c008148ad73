"""DEHB's search: differential evolution with a population for each rung (Awad, Mallik, Hutter 2021).

arXiv:2105.09821: rand/1/bin with F = Cr = 0.5. A trial that starts at a rung challenges one place of that rung's
population, and takes it if it is no worse. Its mutant is made of the best of the rung below; at the lowest
rung, of its own population. What leaves the unit cube is drawn anew.

A place holds the best of all trials that challenged it, so the population is read from the results and there is no
state: trial i challenges place i modulo the population's size, at every rung that it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.options import option
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models.evidence import at_rung, level_name
from hpo_pipe.searchers.candidates import Candidates, Start, suggested
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

LEAST_POPULATION = 4
"""A mutant needs three others."""
CHILDREN = 8
"""Mutants that are tried, where some are forbidden or known."""


class DifferentialEvolutionSearcher:
    """Registered as ``differential_evolution``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the paper."""

        population: int = option(27, low=LEAST_POPULATION, high=100_000)
        """Places at the lowest rung; a rung of k times its resource has a k-th of them, and at least 4."""
        mutation_factor: float = option(0.5, low=0.0, high=2.0)
        """F."""
        crossover: float = option(0.5, low=0.0, high=1.0)
        """Cr: the probability of a mutant's gene."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a challenger for its place in the population of the rung where the trial starts."""
        start = Start(trials=0, random_share=0.0)
        return suggested(
            view, number, "differential_evolution", start, lambda: self._challengers(view, number)
        )

    def _challengers(self, view: View, number: int) -> Candidates | None:
        found, rung = snapshot(view, number).alone, view.rung
        size = self._size(view, rung)
        own = population(found, rung, size)
        place = number % size
        if place not in own or len(own) < LEAST_POPULATION:
            return None
        pool = self._pool(view, found, rung, list(own.values()))
        rng = view.rng("differential_evolution", number)
        parent = _whole(found.unit[own[place]][None, :], rng)[0]
        rows = []
        for _ in range(CHILDREN):
            a, b, c = (found.unit[pool[i]] for i in np.argsort(rng.random(len(pool)), kind="stable")[:3])
            rows.append(
                challenger(parent, a, b, c, rng, self._options.mutation_factor, self._options.crossover)
            )
        children = view.space.snap(np.array(rows))
        children = children[view.space.permitted(children)]
        where, rival = level_name(view, rung), own[place]

        def reason(score: float) -> str:
            return f"challenges trial {rival} for place {place + 1} of {size} at {where}"

        return Candidates(children, np.zeros(len(children)), reason)

    def _size(self, view: View, rung: int) -> int:
        levels = [each.level for each in view.history.rungs]
        return max(LEAST_POPULATION, -(-self._options.population * levels[0] // levels[rung]))

    def _pool(self, view: View, found: Snapshot, rung: int, own: list[int]) -> list[int]:
        """Return the trials that mutants are made of: at least three."""
        if rung == 0:
            return own
        below = population(found, rung - 1, self._size(view, rung - 1))
        data = at_rung(found, rung - 1)
        rank = {int(data.trials[place]): position for position, place in enumerate(data.order)}
        best = sorted(below.values(), key=lambda trial: rank[trial])[: self._size(view, rung)]
        return best if len(best) >= 3 else list(dict.fromkeys([*best, *own]))


def population(found: Snapshot, rung: int, size: int) -> dict[int, int]:
    """Return the trial at each place of a rung's population: the best that challenged it, of equals the newest."""
    data = at_rung(found, rung)
    finite = np.isfinite(data.losses)
    trials, losses = data.trials[finite], data.losses[finite]
    order = np.lexsort((-trials, losses, trials % size))
    places, first = np.unique(trials[order] % size, return_index=True)
    return dict(zip(places.tolist(), trials[order][first].tolist(), strict=True))


def challenger(
    parent: Floats, a: Floats, b: Floats, c: Floats, rng: np.random.Generator, factor: float, crossover: float
) -> Floats:
    """Return a + F (b - c), crossed with the parent gene by gene, at least one of the mutant's; each shape (d,)."""
    d = len(parent)
    fresh = rng.random(d)
    mutant = a + factor * (b - c)
    mutant = np.where((mutant >= 0.0) & (mutant <= 1.0), mutant, fresh)  # a NaN gene is drawn anew, too
    genes = rng.random(d) < crossover
    genes[int(rng.integers(0, d))] = True
    return np.where(genes, mutant, parent)


def _whole(rows: Floats, rng: np.random.Generator) -> Floats:
    return np.where(np.isnan(rows), rng.random(rows.shape), rows)
