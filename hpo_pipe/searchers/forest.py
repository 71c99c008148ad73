"""SMAC's search: a random forest on log losses, and the greatest expected improvement (Lindauer et al. 2022).

The forest learns from the highest rung with enough results, which with the Hyperband scheduler is SMAC's
multi-fidelity form. It copes with many categories and conditions, where a Gaussian process does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_ei
from hpo_pipe.models.random_forest import RandomForest
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import at_rung, highest_rung, level_name
from hpo_pipe.rung_models.processes import thinned
from hpo_pipe.searchers.candidates import Candidates, Start, dimensions_of, searched, suggested
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import counted
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

CAP = 400
ENOUGH = 4
"""Results that a rung must have: a forest copes with fewer than a Gaussian process, and looks higher."""
_FORESTS: Recent[RandomForest] = Recent(8)


class ForestSearcher:
    """Registered as ``forest``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """SMAC's."""

        initial: int | None = option(None, low=1, high=10_000)
        """Trials before the model, from a Sobol sequence."""
        min_trials: int = option(ENOUGH, low=2, high=10_000)
        """Results that a rung must have."""
        random_share: float = option(0.1, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start.of(options.initial, options.random_share, space)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration of the greatest expected improvement."""
        least = self._options.min_trials
        return suggested(view, number, "forest", self._start, lambda: candidates(view, number, least))


def candidates(view: View, number: int, least: int = ENOUGH, *, origin: str = "forest") -> Candidates | None:
    """Return what a forest over the highest rung with `least` results proposes; None without such a rung.

    The forest is grown on what was known at the last scheduled trial, as SMAC grows its own every few suggestions.
    """
    grown = last_refit(number)
    found = snapshot(view, grown)
    rung = highest_rung(found, least)
    if rung is None:
        grown, found = number, snapshot(view, number)
        rung = highest_rung(found, least)
    if rung is None:
        return None
    data = at_rung(found, rung)
    kept, values = thinned(data, "log", CAP)
    dimensions = dimensions_of(view.space)
    forest = _FORESTS.get(
        lambda: RandomForest(dimensions, kept.rows, values, view.rng(f"{origin}-trees", grown)),
        kept.rows,
        values,
        dimensions,
        (view.study.seed, grown),
    )
    known, _ = forest.predict(kept.rows)
    target = float(known.min())
    best = kept.rows[np.argsort(values, kind="stable")[:PARENTS]]
    rows, scores = searched(
        view, number, origin, best, lambda u: log_ei(*forest.predict(u), target), data.values
    )
    where = level_name(view, rung)

    def reason(score: float) -> str:
        return (
            f"random forest over {counted(view, data.trials)} at {where}: expected improvement "
            f"{math.exp(score):.3g} standard deviations"
        )

    return Candidates(rows, scores, reason)
