"""Hyper-Tune's search: one Gaussian process per rung, weighted by how far each ranks as the highest one does.

Li et al. 2022 (arXiv:2201.06834), section 4. The weights are found anew when the hyper-parameters are, on what was
known then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_ei
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.rung_ensemble import ENOUGH, combined, draws, held_out_draws, shares
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.models.warping import WARPINGS
from hpo_pipe.options import option
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.searchers import gp
from hpo_pipe.searchers.candidates import Candidates, Start, searched, suggested
from hpo_pipe.searchers.evidence import (
    LEAST,
    Measured,
    at_rung,
    highest_rung,
    level_name,
    open_rows,
    values_at,
)
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

CAP, FIT_CAP = 250, 120
"""Rows of each rung's model, and of a fit of its hyper-parameters."""
JUDGED = 60
"""Configurations of the reference rung whose ranking is compared."""
_WEIGHTS: Recent[tuple[float, ...]] = Recent(32)


class HyperTuneSearcher:
    """Registered as ``hyper_tune``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """How results become values, and what comes beside the model."""

        warping: str = option("log", allowed=WARPINGS)
        """``log``, ``winsorize``, ``yeo-johnson`` or ``none``."""
        initial: int | None = option(None, low=1, high=10_000)
        """Trials before the model, from a Sobol sequence."""
        random_share: float = option(0.1, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start.of(options.initial, options.random_share, space)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration of the greatest expected improvement."""
        warping = self._options.warping
        return suggested(
            view, number, "hyper_tune", self._start, lambda: candidates(view, number, warping=warping)
        )


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The rungs that count, lowest first."""

    rungs: tuple[int, ...]
    weights: tuple[float, ...]
    hyperparameters: tuple[Hyperparameters, ...]


def candidates(
    view: View, number: int, *, warping: str = "log", origin: str = "hyper_tune"
) -> Candidates | None:
    """Return what the ensemble proposes for trial `number`; None while no rung has three values."""
    found = ensemble(view, number, warping)
    if found is None:
        return None
    now = snapshot(view, number)
    models: list[GaussianProcess] = []
    target, results, best = 0.0, 0, np.empty((0, len(view.space.dimensions)))
    for rung, weight, hyperparameters in zip(found.rungs, found.weights, found.hyperparameters, strict=True):
        data = at_rung(now, rung)
        kept, values = gp.thinned(data, warping, CAP)
        model = gp.process(view, kept, values, hyperparameters)
        models.append(model.believing(open_rows(view, number, data.trials)))
        results += len(data.trials)
        target += weight * models[-1].least
        best = np.vstack([best, kept.rows[np.argsort(model.fitted, kind="stable")[:PARENTS]]])
    weights = np.array(found.weights)

    def score(rows: Floats) -> Floats:
        means, deviations = zip(*(model.posterior(rows) for model in models), strict=True)
        return log_ei(*combined(means, deviations, weights), target)

    rows, scores = searched(view, number, origin, best[::-1], score, results)
    named = ", ".join(
        f"{level_name(view, rung)} {weight:.0%}"
        for rung, weight in zip(found.rungs, found.weights, strict=True)
    )

    def reason(score: float) -> str:
        return f"Gaussian processes of rungs ({named}): expected improvement {math.exp(score):.3g} deviations"

    return Candidates(rows, scores, reason)


def ensemble(view: View, number: int, warping: str = "log") -> Ensemble | None:
    """Return the rungs that trial `number` is chosen by; None while none has three values."""
    then = last_refit(number)
    found = snapshot(view, then)
    if highest_rung(found, LEAST) is None:
        then, found = number, snapshot(view, number)
    first = highest_rung(found, LEAST)
    if first is None:
        return None
    reference = highest_rung(found, ENOUGH)
    rungs = [r for r in range(found.rungs.shape[1]) if values_at(found, r) >= LEAST]
    rungs = [r for r in rungs if reference is not None and r <= reference] or rungs[:1]
    fits = {rung: gp.fitted(view, at_rung(found, rung), warping, FIT_CAP) for rung in rungs}
    weights = _weights(view, found, rungs, fits, warping, then)
    kept = [(rung, weight) for rung, weight in zip(rungs, weights, strict=True) if weight > 0.0]
    return Ensemble(
        tuple(rung for rung, _ in kept),
        tuple(weight for _, weight in kept),
        tuple(fits[rung] for rung, _ in kept),
    )


def _weights(
    view: View,
    found: Snapshot,
    rungs: list[int],
    fits: dict[int, Hyperparameters],
    warping: str,
    then: int,
) -> tuple[float, ...]:
    if len(rungs) == 1:
        return (1.0,)
    data = {rung: gp.thinned(at_rung(found, rung), warping, CAP) for rung in rungs}
    judged, truth = gp.thinned(at_rung(found, rungs[-1]), warping, JUDGED)

    def make() -> tuple[float, ...]:
        rng = view.rng("hyper_tune-weights", then)
        sampled = []
        for rung in rungs[:-1]:
            measured, values = data[rung]
            model = gp.process(view, measured, values, fits[rung])
            sampled.append(draws(*model.joint(judged.rows), rng))
        own = held_out_draws(gp.distances_of(view.space), fits[rungs[-1]], judged.rows, truth, rng)
        return tuple(float(f"{weight:.6g}") for weight in shares([*sampled, own], truth))

    return _WEIGHTS.get(make, *_content(data), judged.rows, truth, fits, (view.study.seed, then, rungs))


def _content(data: dict[int, tuple[Measured, Floats]]) -> list[Floats]:
    return [array for measured, values in data.values() for array in (measured.rows, values)]
