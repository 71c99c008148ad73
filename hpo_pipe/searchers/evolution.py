"""Regularised evolution: tournaments among the young, each winner changed in one place (Real et al. 2019).

arXiv:1802.01548, Algorithm 1. The population is the newest trials with a result, so whatever is old dies, however
good; a trial that came further in training beats one that did not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpo_pipe.models.acquisition import perturbed
from hpo_pipe.options import Refused, option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import Measured, furthest
from hpo_pipe.searchers.candidates import Candidates, Start, dimensions_of, suggested
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import trial_name
from hpo_pipe.view import Suggestion, View

STEP = 0.2
"""Standard deviation of a number's mutation, in its unit interval."""
CHILDREN = 16
"""Mutations that are tried, where some are forbidden or known."""


class EvolutionSearcher:
    """Registered as ``evolution``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the paper: P and S, made for smaller searches than its 20,000 trials."""

        population: int = option(50, low=2, high=100_000)
        """How many of the newest trials take part, and how many are spread over the space first."""
        sample: int = option(12, low=1, high=100_000)
        """How many meet in a tournament."""

        def __post_init__(self) -> None:
            if self.sample > self.population:
                raise Refused("sample", self.sample, f"at most population ({self.population})")

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start(trials=options.population, random_share=0.0)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a mutation of the best of some of the newest trials."""
        return suggested(view, number, "evolution", self._start, lambda: self._children(view, number))

    def _children(self, view: View, number: int) -> Candidates | None:
        data = furthest(snapshot(view, number))
        if not data.values:
            return None
        rng = view.rng("evolution", number)
        winner = tournament(data, self._options.population, self._options.sample, rng)
        dimensions = dimensions_of(view.space)
        parents = np.repeat(data.rows[winner : winner + 1], CHILDREN, axis=0)
        children = perturbed(parents, rng, 0.0, STEP, dimensions.steps, dimensions.unordered)
        children = view.space.snap(children)
        children = children[view.space.permitted(children)]
        parent = int(data.trials[winner])

        def reason(score: float) -> str:
            met = min(self._options.sample, len(data.trials))
            among = f"the best of {met} among the newest {self._options.population}"
            return f"mutation of {trial_name(view, parent)}, {among}"

        return Candidates(children, np.zeros(len(children)), reason)


def tournament(data: Measured, population: int, sample: int, rng: np.random.Generator) -> int:
    """Return the place of the best of `sample` different trials among the newest `population` with a result."""
    alive = np.arange(max(len(data.trials) - population, 0), len(data.trials))
    drawn = alive[np.argsort(rng.random(len(alive)), kind="stable")[:sample]]
    ranks = np.empty(len(data.trials), dtype=np.int64)
    ranks[data.order] = np.arange(len(data.trials))
    return int(drawn[np.argmin(ranks[drawn])])
