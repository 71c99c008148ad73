"""Bayesian optimisation with a Gaussian process over the results of one rung.

With rungs, this is MOBSTER's model with independent rungs (Tiao et al. 2020, arXiv:2003.10865): the highest rung with
enough values decides. Without, it is the classic search of full trainings. Values are warped and standardised,
length-scales are fitted by maximum a posteriori now and then, trials that train now are believed to end at their
posterior mean, and the configuration of the greatest augmented expected improvement is tried next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_augmented_ei
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.models.warping import WARPINGS
from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import at_rung, level_name, open_rows, telling_rung
from hpo_pipe.rung_models.processes import fitted, process, thinned
from hpo_pipe.searchers.candidates import Candidates, Start, searched, suggested
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import counted
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]


class GpSearcher:
    """Registered as ``gp``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """How results become values, and what comes beside the model."""

        warping: str = option("winsorize", allowed=WARPINGS)
        """``winsorize``, ``log``, ``yeo-johnson`` or ``none``."""
        initial: int | None = option(None, low=1, high=10_000)
        """Trials before the model, from a Sobol sequence."""
        random_share: float = option(0.1, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start.of(options.initial, options.random_share, space)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration of the greatest expected improvement."""
        return suggested(
            view, number, "gp", self._start, lambda: candidates(view, number, warping=self._options.warping)
        )


def candidates(
    view: View, number: int, *, warping: str = "winsorize", origin: str = "gp"
) -> Candidates | None:
    """Return what a Gaussian process over the highest rung with enough values proposes; None without such a rung."""
    now = snapshot(view, number)
    rung = telling_rung(now)
    if rung is None:
        return None
    data = at_rung(now, rung)
    then = snapshot(view, last_refit(number))
    fitted_at = telling_rung(then)
    hyperparameters = fitted(view, at_rung(then, fitted_at) if fitted_at is not None else data, warping)
    kept, values = thinned(data, warping)
    model = process(view, kept, values, hyperparameters)
    believing = model.believing(open_rows(view, number, data.trials))
    target = believing.least
    best = kept.rows[np.argsort(model.fitted, kind="stable")[:PARENTS]]
    noise = hyperparameters.noise

    def score(rows: Floats) -> Floats:
        return log_augmented_ei(*believing.posterior(rows), target, noise)

    rows, scores = searched(view, number, origin, best, score, data.values)
    where = level_name(view, rung)

    def reason(score: float) -> str:
        return (
            f"Gaussian process over {counted(view, data.trials)} at {where}: expected improvement "
            f"{math.exp(score):.3g} standard deviations"
        )

    return Candidates(rows, scores, reason)
