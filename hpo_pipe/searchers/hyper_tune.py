"""Hyper-Tune's search: one Gaussian process per rung, weighted by how far each ranks as the highest one does.

Li et al. 2022 (arXiv:2201.06834), section 4. With the scheduler ``d_asha`` and its ``learn_brackets`` this is all of
their method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_ei
from hpo_pipe.models.gaussian_process import GaussianProcess
from hpo_pipe.models.rung_ensemble import combined
from hpo_pipe.models.warping import WARPINGS
from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import at_rung, open_rows
from hpo_pipe.rung_models.processes import process, thinned
from hpo_pipe.rung_models.weights import CAP, rung_weights
from hpo_pipe.searchers.candidates import Candidates, Start, searched, suggested
from hpo_pipe.searchers.gp import GpSearcher
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]


class HyperTuneSearcher:
    """Registered as ``hyper_tune``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(GpSearcher.Options):
        """As for one Gaussian process."""

        warping: str = option("log", allowed=WARPINGS)
        """``log``, ``winsorize``, ``yeo-johnson`` or ``none``."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start.of(options.initial, options.random_share, space)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration of the greatest expected improvement."""
        warping = self._options.warping
        return suggested(
            view, number, "hyper_tune", self._start, lambda: candidates(view, number, warping=warping)
        )


def candidates(
    view: View, number: int, *, warping: str = "log", origin: str = "hyper_tune"
) -> Candidates | None:
    """Return what the ensemble proposes for trial `number`; None while no rung has three values."""
    found = rung_weights(view, number, warping)
    if found is None:
        return None
    found = found.counting
    now = snapshot(view, number)
    models: list[GaussianProcess] = []
    target, results, best = 0.0, 0, np.empty((0, len(view.space.dimensions)))
    for rung, weight, hyperparameters in zip(found.rungs, found.weights, found.hyperparameters, strict=True):
        data = at_rung(now, rung)
        kept, values = thinned(data, warping, CAP)
        model = process(view, kept, values, hyperparameters)
        models.append(model.believing(open_rows(view, number, data.trials)))
        results += len(data.trials)
        target += weight * models[-1].least
        best = np.vstack([best, kept.rows[np.argsort(model.fitted, kind="stable")[:PARENTS]]])
    weights = np.array(found.weights)

    def score(rows: Floats) -> Floats:
        means, deviations = zip(*(model.posterior(rows) for model in models), strict=True)
        return log_ei(*combined(means, deviations, weights), target)

    rows, scores = searched(view, number, origin, best[::-1], score, results)
    named = found.named(view)

    def reason(score: float) -> str:
        return f"Gaussian processes of rungs ({named}): expected improvement {math.exp(score):.3g} deviations"

    return Candidates(rows, scores, reason)
