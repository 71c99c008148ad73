"""Freeze-thaw Bayesian optimisation: new configurations by what all learning curves say about their ends.

After Swersky, Snoek and Adams 2014 (arXiv:1406.3896): a curve that was frozen at any resource counts as an uncertain
observation of its end. Which trials go on is for the scheduler to decide; a model that also decides this may start
new trials for ever, because it has never seen a long curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_ei
from hpo_pipe.models.freeze_thaw import CurveVariances, fit_variances, pseudo_observations, times
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.map_fit import MAX_CELLS, Priors, fit
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.schedule import chosen, last_refit
from hpo_pipe.models.warping import warped_curves
from hpo_pipe.observations import observations
from hpo_pipe.options import option
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models.evidence import open_rows
from hpo_pipe.rung_models.processes import distances_of
from hpo_pipe.searchers.candidates import Candidates, Start, searched, suggested
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

ENOUGH = 3
"""Trials with a value that the model needs."""
CAP, FIT_CAP = 600, 200
FAILED_NOISE = 0.3
"""Variance of a pseudo-observation of a trial that has failed."""
_FITS: Recent[tuple[CurveVariances, Hyperparameters]] = Recent(32)
_MODELS: Recent[GaussianProcess] = Recent(8)


class FreezeThawSearcher:
    """Registered as ``freeze_thaw``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What comes beside the model."""

        initial: int | None = option(None, low=1, high=10_000)
        """Trials before the model, from a Sobol sequence."""
        random_share: float = option(0.15, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        self._start = Start.of(options.initial, options.random_share, space)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration whose end is expected to improve most."""
        return suggested(view, number, "freeze_thaw", self._start, lambda: candidates(view, number))


@dataclass(frozen=True, slots=True)
class Curves:
    """Learning curves in the model's scale."""

    trials: NDArray[np.intp]
    """Shape (n,)."""
    rows: Floats
    """Shape (n, d)."""
    values: Floats
    """Shape (n, ladder); NaN: not reported. A failed trial's are all NaN."""
    order: NDArray[np.intp]
    """Places, best first."""

    @classmethod
    def of(cls, found: Snapshot) -> Curves:
        """Return the curves of trials that have reported or failed."""
        trials, rows, curves = _reported(found)
        values = warped_curves(curves)
        best = np.where(np.isnan(values), np.inf, values).min(axis=1, initial=np.inf)
        return cls(trials, rows, values, np.lexsort((trials, best)))

    def __len__(self) -> int:
        return int((~np.isnan(self.values)).any(axis=1).sum())

    def thinned(self, cap: int) -> Curves:
        """Return at most `cap` of them: the best, the newest and some of the rest, by number."""
        places = chosen(self.order, cap)
        return Curves(self.trials[places], self.rows[places], self.values[places], np.arange(len(places)))


def _reported(found: Snapshot) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return trials that have reported or failed, their rows, and their curves; other studies' from -n to -1."""
    trials = np.flatnonzero(found.failed | ~np.isnan(found.curves).all(axis=1))
    curves = np.where(found.failed[trials, None], np.nan, found.curves[trials])
    own = (trials, found.unit[trials], curves)
    if found.parents is None:
        return own
    others, rows, before = _reported(found.parents)
    others = others - len(found.parents.failed)
    return np.concatenate([others, own[0]]), np.vstack([rows, own[1]]), np.vstack([before, own[2]])


def candidates(view: View, number: int, *, origin: str = "freeze_thaw") -> Candidates | None:
    """Return what the freeze-thaw model proposes for trial `number`; None while it knows too little."""
    curves = Curves.of(snapshot(view, number))
    if len(curves) < ENOUGH:
        return None
    then = Curves.of(snapshot(view, last_refit(number)))
    model = modelled(view, curves, *fitted(view, then if len(then) >= ENOUGH else curves))
    believing = model.believing(open_rows(view, number, curves.trials))
    target = believing.least
    kept = curves.thinned(CAP)
    best = kept.rows[np.argsort(model.fitted, kind="stable")[:PARENTS]]
    rows, scores = searched(
        view, number, origin, best, lambda u: log_ei(*believing.posterior(u), target), len(curves)
    )
    end = f"{view.study.resource.name} {view.study.resource.max}" if view.study.resource else "the end"

    def reason(score: float) -> str:
        return (
            f"freeze-thaw model of {len(curves)} learning curves: expected improvement at {end} "
            f"{math.exp(score):.3g} standard deviations"
        )

    return Candidates(rows, scores, reason)


def fitted(view: View, curves: Curves) -> tuple[CurveVariances, Hyperparameters]:
    """Return what curves do beside their ends, and the hyper-parameters of the ends."""
    d = len(view.space.dimensions)
    cap = max(16, min(FIT_CAP, math.isqrt(MAX_CELLS // d)))

    def make() -> tuple[CurveVariances, Hyperparameters]:
        variances = fit_variances(curves.values, ladder_times(view))
        kept = curves.thinned(cap)
        values, noises = ends_of(view, kept, variances)
        found = fit(distances_of(view.space), kept.rows, values, Priors.freeze_thaw(d), noises)
        return variances, found

    return _FITS.get(make, curves.rows, curves.values, view.space.kinds)


def modelled(
    view: View, curves: Curves, variances: CurveVariances, hyperparameters: Hyperparameters
) -> GaussianProcess:
    """Return the process over the ends of at most :data:`CAP` curves."""
    kept = curves.thinned(CAP)

    def make() -> GaussianProcess:
        values, noises = ends_of(view, kept, variances)
        return GaussianProcess(distances_of(view.space), hyperparameters, kept.rows, values, noises)

    return _MODELS.get(make, kept.rows, kept.values, variances, hyperparameters, view.space.kinds)


def ends_of(view: View, curves: Curves, variances: CurveVariances) -> tuple[Floats, Floats]:
    """Return pseudo-observations of the ends and their variances; a failed trial's is the worst of all."""
    reported = (~np.isnan(curves.values)).sum(axis=1) > 0
    values, noises = np.zeros(len(reported)), np.full(len(reported), FAILED_NOISE)
    values[reported], noises[reported] = pseudo_observations(
        curves.values[reported], ladder_times(view), variances
    )
    values[~reported] = values[reported].max(initial=0.0)
    return values, noises


def ladder_times(view: View) -> Floats:
    """Return the times of the resources at which curves are kept, 1 at the greatest."""
    ladder = observations(view).ladder
    return times(ladder, ladder[-1])
