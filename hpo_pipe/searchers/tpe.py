"""Tree-structured Parzen estimator, multivariate, with a constant liar (Bergstra et al. 2011; as in Optuna 5).

The best tenth of the trials, at most 25, against the rest: trials that went further come before those that were
stopped or wait below them, and then the loss counts. Running trials belong to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import best_first
from hpo_pipe.models.kernel_density import KernelDensity, neighbour_bandwidths, old_ones_less
from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import furthest, open_rows
from hpo_pipe.searchers.candidates import FINE, Candidates, Start, dimensions_of, prior_of, suggested
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

CAP = 1000
"""Of the rest: the newest half of it, and every so-manieth of those before."""
RANKED = 24


class TpeSearcher:
    """Registered as ``tpe``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Optuna's, with its defaults."""

        n_startup_trials: int = option(10, low=1, high=10_000)
        """Trials before the model."""
        n_ei_candidates: int = option(24, low=1, high=10_000)
        """Candidates."""
        prior_weight: float = option(1.0, low=1e-6, high=1e6)
        """Of the prior component, where a trial has 1."""
        constant_liar: bool = True
        """Whether trials that train now count as bad."""
        random_share: float = option(0.0, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start(trials=options.n_startup_trials, random_share=options.random_share)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the candidate of the greatest ratio of densities."""
        return suggested(view, number, "tpe", self._start, lambda: candidates(view, number, self._options))


def candidates(
    view: View, number: int, options: TpeSearcher.Options | None = None, *, origin: str = "tpe"
) -> Candidates | None:
    """Return draws from the best trials, the best ratio first; None with less than two results."""
    options = options or TpeSearcher.Options()
    data = furthest(snapshot(view, number))
    if data.values < 2:
        return None
    order = data.trials[data.order], data.rows[data.order]
    below = min(-(-len(data.trials) // 10), 25, data.values)
    rejected = _capped(order[0][below:], order[1][below:])
    if options.constant_liar:
        rejected = np.vstack([rejected, open_rows(view, number, data.trials)])
    oldest_first = np.argsort(order[0][:below], kind="stable")
    dimensions = dimensions_of(view.space, FINE)
    likely, unlikely = (
        KernelDensity(
            dimensions,
            rows,
            neighbour_bandwidths(dimensions, rows, options.prior_weight),
            old_ones_less(len(rows)),
            options.prior_weight,
            prior_of(view.space),
        )
        for rows in (order[1][:below][oldest_first], rejected)
    )
    drawn = likely.sample(options.n_ei_candidates, view.rng(f"{origin}-candidates", number))
    drawn = view.space.snap(drawn)
    drawn = drawn[view.space.permitted(drawn)]
    scores = likely.log_density(drawn) - unlikely.log_density(drawn)
    ranked = best_first(scores)[:RANKED]

    def reason(score: float) -> str:
        return (
            f"Parzen estimators of the best {below} of {len(data.trials)} trials and the others: "
            f"{np.exp(min(score, 50.0)):.3g} times as likely among the best"
        )

    return Candidates(drawn[ranked], scores[ranked], reason)


def _capped(trials: NDArray[np.int64], rows: Floats) -> Floats:
    """Return rows by trial number, at most :data:`CAP`."""
    rows = rows[np.argsort(trials, kind="stable")]
    if len(rows) <= CAP:
        return rows
    older = len(rows) - CAP // 2
    return np.vstack([rows[np.arange(CAP // 2) * older // (CAP // 2)], rows[older:]])
