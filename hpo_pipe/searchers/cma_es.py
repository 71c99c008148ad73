"""CMA-ES, asynchronous: generations are counted by trials, whatever order their results come in.

The trials that this searcher proposed, in the order of the log, make up generations of equal size. A generation is
done when all of its members are; the distribution that the next trial is drawn from is a fold over the generations
that are done, one after another. So it is read from the history, and there is no state. A trial that came further in
training beats one that did not. What a generation's members reach much later no longer counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.models.cma import Distribution, population_size, updated
from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import furthest
from hpo_pipe.searchers.candidates import Candidates, Start, dimensions_of, prior_of, suggested
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

DRAWS = 16
"""Configurations that are drawn, where some are forbidden or known."""
HORIZON = 32
"""A generation is judged by what is known when the one so many later begins."""
ORIGIN = "cma_es"


class CmaEsSearcher:
    """Registered as ``cma_es``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the strategy."""

        population: int | None = option(None, low=4, high=10_000)
        """Trials of a generation; 4 + 3 ln d. More for noisy losses and many workers."""

    def __init__(self, options: Options, space: Space) -> None:
        self._size = options.population or population_size(len(space.dimensions))

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a draw from the newest distribution."""
        start = Start(trials=0, random_share=0.0)
        return suggested(view, number, ORIGIN, start, lambda: self._draws(view, number))

    def _draws(self, view: View, number: int) -> Candidates:
        dimensions = dimensions_of(view.space)
        distribution, done = following(view, Generations).distribution(view, number, self._size, dimensions)
        rng = view.rng(ORIGIN, number)
        rows = view.space.snap(np.array([distribution.draw(dimensions, rng) for _ in range(DRAWS)]))
        rows = rows[view.space.permitted(rows)]

        def reason(score: float) -> str:
            return f"draw after {done} generations of {self._size}, step {distribution.step:.3g}"

        return Candidates(rows, np.zeros(len(rows)), reason)


@dataclass(slots=True)
class _Chain:
    """Distributions after 0, 1, 2 ... generations of one size, and the members that each was made of."""

    distributions: list[Distribution]
    members: list[bytes] = field(default_factory=list)


class Generations:
    """The trials that CMA-ES proposed, and the distributions so far. Kept as `hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self._own = np.zeros(64, dtype=bool)
        self._count = 0
        self._chains: dict[int, _Chain] = {}
        self._changed: dict[int, set[int]] = {}

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(changes)."""
        self._count = len(view.history.trials)
        if self._count > len(self._own):
            self._own = np.pad(self._own, (0, max(self._count, 2 * len(self._own)) - len(self._own)))
        for number in changed:
            if number < self._count:
                self._own[number] = view.history.trials[number].origin == ORIGIN
            for changes in self._changed.values():
                changes.add(number)

    def distribution(
        self, view: View, number: int, size: int, dimensions: Dimensions
    ) -> tuple[Distribution, int]:
        """Return what trial `number` is drawn from, and how many generations are done."""
        members = np.flatnonzero(self._own[: min(self._count, number)])
        mean = prior_of(view.space).transform(np.full((1, len(dimensions)), 0.5))[0]
        chain = self._chains.setdefault(size, _Chain([Distribution.first(dimensions, mean)]))
        changes = self._changed.setdefault(size, set(members.tolist()))
        # a generation also changes when the one that ends its horizon is created or taken back
        stale = {int(np.searchsorted(members, n)) // size for n in changes}
        stale |= {block - HORIZON for block in stale}
        whole = len(members) // size
        for block in range(max(min(stale, default=whole), 0), whole):
            if block < len(chain.members) and block not in stale:
                continue
            generation = _generation(view, number, members, block, size)
            if generation is None:
                del chain.members[block:], chain.distributions[block + 1 :]
                break
            rows, identity = generation
            if block < len(chain.members) and chain.members[block] == identity:
                continue
            del chain.members[block:], chain.distributions[block + 1 :]
            rng = view.rng("cma_es-restart", block)
            filled = np.where(np.isnan(rows), rng.random(rows.shape), rows)
            after = updated(chain.distributions[block], filled, dimensions, rng.random(len(dimensions)))
            chain.members.append(identity)
            chain.distributions.append(after)
        del chain.members[whole:], chain.distributions[whole + 1 :]
        changes.clear()
        return chain.distributions[-1], len(chain.members)


def _generation(
    view: View, number: int, members: NDArray[np.intp], block: int, size: int
) -> tuple[Floats, bytes] | None:
    """Return a generation's configurations, best first, and what tells it from others; None while it is not done."""
    own = members[block * size : (block + 1) * size]
    later = (block + HORIZON) * size
    judged_at = int(members[later]) if later < len(members) else number
    data = furthest(snapshot(view, judged_at, weights=int(own[0]), among=own).alone)
    ranks = np.full(view.history.trials[-1].number + 1, -1)
    ranks[data.trials[data.order]] = np.arange(len(data.trials))
    missing = own[ranks[own] < 0]
    if not all(view.history.trials[trial].stopped for trial in missing.tolist()):
        return None
    ranks[missing] = len(data.trials) + np.arange(len(missing))  # stopped by a user before any result
    rows = snapshot(view, number).unit[own[np.argsort(ranks[own])]]
    return rows, rows.tobytes()
