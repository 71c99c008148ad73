"""A ranking-weighted ensemble of Gaussian processes: one for each other study, one for this one (RGPE).

Feurer, Letham and Bakshy 2018 (arXiv:1802.02219). Sources are weighted by how well they rank what was measured here, so
one of another kind of task loses its say with the first few results. The models of sources believe their own means at
what was tried here: what is known here is not worth exploring because another study did not look there. Without other
studies, or where their results count as this one's own, this is ``gp``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import PARENTS, log_ei
from hpo_pipe.models.gaussian_process import GaussianProcess
from hpo_pipe.models.map_fit import Priors, fit
from hpo_pipe.models.ranking_ensemble import source_shares
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.rung_ensemble import combined, draws, held_out_draws
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models import processes
from hpo_pipe.rung_models.evidence import Measured, at_rung, highest_rung, level_name, open_rows
from hpo_pipe.scalarised import Scale, scalarised, weights_of
from hpo_pipe.searchers import gp
from hpo_pipe.searchers.candidates import Candidates, Start, searched, suggested
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import SourceRows, borrowed
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

ENOUGH = 3
"""Values that a source, and the target's rung, must have."""
PLENTY = 10
"""Of the source's rungs the highest with so many values is modelled; of none has them, the highest with enough."""
CAP, FIT_CAP = 150, 100
"""Rows of a source's model, and of the fit of its hyper-parameters."""
JUDGED = 60
"""Results of this study whose ranking is compared."""
BELIEVED = 60
"""Configurations tried here at which the models of sources believe their means: the newest."""
FIRST = 4
"""Trials before the model where there are sources."""
_SOURCES: Recent[GaussianProcess] = Recent(24)
_WEIGHTS: Recent[tuple[float, ...]] = Recent(32)


class RgpeSearcher:
    """Registered as ``rgpe``."""

    Options = gp.GpSearcher.Options
    """With other studies fewer trials come before the model by default: their best are among them."""

    def __init__(self, options: gp.GpSearcher.Options, space: Space) -> None:
        self._options = options
        self._space = space

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the new configuration of the greatest expected improvement."""
        sources = bool(foreign(view))
        origin = "rgpe" if sources else "gp"
        initial = self._options.initial or (FIRST if sources else None)
        start = Start.of(initial, self._options.random_share, self._space)
        warping = self._options.warping
        return suggested(view, number, origin, start, lambda: candidates(view, number, warping=warping))


def foreign(view: View) -> list[SourceRows]:
    """Return the other studies whose results are of another task, those with enough of them."""
    if view.study.warm_start is None or not view.space.dimensions:
        return []
    found = borrowed(view)
    return (
        [] if found.identical else [rows for rows in found.sources if _values(rows).max(initial=0) >= ENOUGH]
    )


def candidates(
    view: View, number: int, *, warping: str = "winsorize", origin: str = "rgpe"
) -> Candidates | None:
    """Return what the ensemble proposes for trial `number`; without other studies, what ``gp`` does."""
    sources = foreign(view)
    if not sources:
        return gp.candidates(view, number, warping=warping, origin="gp" if origin == "rgpe" else origin)
    weights = weights_at(view, number, sources, warping)
    now = snapshot(view, number)
    tried = now.unit[max(len(now.unit) - BELIEVED, 0) :]
    models: list[GaussianProcess] = []
    used, parents = [], []
    for source, weight in zip(sources, weights, strict=False):
        if weight > 0.0:
            model = source_model(view, number, source, warping)
            models.append(model.believing(tried))
            used.append((source.source.name, weight))
            parents.append(model.best_rows(PARENTS))
    results, where = 0, ""
    rung = highest_rung(now, ENOUGH)
    if rung is not None and weights[-1] > 0.0:
        own, data = _own_model(view, number, now, rung, warping)
        models.append(own.believing(open_rows(view, number, data.trials)))
        results, where = data.values, f" with {len(data.trials)} results at {level_name(view, rung)}"
        used.append(("this study", weights[-1]))
        parents.append(own.best_rows(PARENTS))
    if not models:
        return None
    shares = np.array([weight for _, weight in used])

    def predict(rows: Floats) -> tuple[Floats, Floats]:
        means, deviations = zip(*(model.posterior(rows) for model in models), strict=True)
        return combined(means, deviations, shares)

    # what is to be improved on is the best of what was tried here; where nothing was, of what the sources know
    target = float(predict(tried if len(tried) else np.vstack(parents))[0].min())
    best = np.vstack([each[: -(-PARENTS // len(parents))] for each in reversed(parents)])
    rows, scores = searched(view, number, origin, best, lambda u: log_ei(*predict(u), target), results)
    named = ", ".join(f"{name} {weight:.0%}" for name, weight in used)

    def reason(score: float) -> str:
        return (
            f"Gaussian processes of studies, weighted by how they rank what was measured here ({named}{where}): "
            f"expected improvement {math.exp(score):.3g} deviations"
        )

    return Candidates(rows, scores, reason)


def weights_at(view: View, number: int, sources: list[SourceRows], warping: str) -> tuple[float, ...]:
    """Return the weight of each source and, last, of this study; found anew when hyper-parameters are.

    As long as no rung here has three values, the sources share evenly.
    """
    then = last_refit(number)
    found = snapshot(view, then)
    rung = highest_rung(found, ENOUGH)
    if rung is None:
        then, found = number, snapshot(view, number)
        rung = highest_rung(found, ENOUGH)
    if rung is None:
        return (*(1.0 / len(sources) for _ in sources), 0.0)
    judged, truth = processes.thinned(at_rung(found, rung), warping, JUDGED)
    fitted = processes.fitted(view, at_rung(found, rung), warping)
    models = [source_model(view, then, rows, warping) for rows in sources]

    def make() -> tuple[float, ...]:
        rng = view.rng("rgpe-weights", then)
        sampled = [draws(*model.joint(judged.rows), rng) for model in models]
        own = held_out_draws(processes.distances_of(view.space), fitted, judged.rows, truth, rng)
        return tuple(float(f"{weight:.6g}") for weight in source_shares(sampled, own, truth))

    content = [array for model in models for array in (model.rows, model.fitted)]
    return _WEIGHTS.get(make, *content, judged.rows, truth, fitted, (view.study.seed, then))


def source_model(view: View, number: int, rows: SourceRows, warping: str) -> GaussianProcess:
    """Return the Gaussian process of another study, with the objectives' weights of trial `number`."""
    data = source_data(view, number, rows)
    d = len(view.space.dimensions)
    kept, values = processes.thinned(data, warping, CAP)
    few, shown = processes.thinned(data, warping, FIT_CAP)
    distances = processes.distances_of(view.space)

    def make() -> GaussianProcess:
        found = fit(distances, few.rows, shown, Priors.dimension_scaled(d))
        return GaussianProcess(distances, found, kept.rows, values)

    return _SOURCES.get(make, kept.rows, values, few.rows, shown, distances)


def source_data(view: View, number: int, rows: SourceRows) -> Measured:
    """Return another study's results at the highest of its rungs that has many, or else enough."""
    counts = _values(rows)
    many = np.flatnonzero(counts >= min(PLENTY, int(counts.max())))
    rung = int(many[-1])
    losses = rows.losses[:, rung, 0]
    if not view.study.plain:
        usual = Scale.of(rows.losses, len(view.study.objectives))
        losses = scalarised(rows.losses[:, rung : rung + 1], weights_of(view, number), usual)[0][:, 0]
    losses = np.where(np.isnan(losses) & rows.failed, np.inf, losses)
    there = np.flatnonzero(~np.isnan(losses))
    return Measured(rung, there, rows.unit[there], losses[there])


def _values(rows: SourceRows) -> NDArray[np.int64]:
    """Return how many finite losses there are at each rung of a source."""
    counts: NDArray[np.int64] = np.isfinite(rows.losses[..., 0]).sum(axis=0)
    return counts


def _own_model(
    view: View, number: int, now: Snapshot, rung: int, warping: str
) -> tuple[GaussianProcess, Measured]:
    data = at_rung(now, rung)
    then = snapshot(view, last_refit(number))
    fitted_at = highest_rung(then, ENOUGH)
    fitted = processes.fitted(view, at_rung(then, fitted_at) if fitted_at is not None else data, warping)
    kept, values = processes.thinned(data, warping)
    return processes.process(view, kept, values, fitted), data
