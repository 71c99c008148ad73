"""One loss from several objectives and bounds, for searchers whose models know one loss only.

Several objectives become one by ParEGO's augmented Chebyshev scalarisation (Knowles 2006): with weights that are drawn
anew for every trial, uniformly over all that sum to 1, so that the trials together spread over the front. What is out
of bounds gets a loss that is worse than all within bounds, by how far it is out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.observations import observations
from hpo_pipe.outcomes import at_rung
from hpo_pipe.view import View
from storage_schema.records import Curve, Metric
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]

AUGMENTATION = 0.05
"""Weight of the sum beside the maximum, as in ParEGO: of two equal maxima the dominated one loses."""
FARTHEST = 10.0
"""How far out of bounds a result counts at most, in what is usual; what is not known counts so."""
_FIRST_ROWS = 64


class Measures:
    """Of studies with bounds or several objectives: all losses and excesses, as arrays of shape (trials, ..., k).

    The last axis holds the k = objectives + metrics with bounds. NaN: not reported. Kept as `hpo_pipe.following` says.
    """

    def __init__(self, view: View) -> None:
        study = view.study
        self._ladder = observations(view).ladder
        self._width = len(study.objectives) + len(study.bounded)
        self.rungs: Floats = np.empty((_FIRST_ROWS, len(view.history.rungs), self._width))
        self.curves: Floats = np.empty((_FIRST_ROWS, len(self._ladder), self._width))

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(changes)."""
        trials = view.history.trials
        more = len(trials) - len(self.rungs)
        if more > 0:
            more = max(more, len(self.rungs))
            self.rungs = np.pad(self.rungs, ((0, more), (0, 0), (0, 0)))
            self.curves = np.pad(self.curves, ((0, more), (0, 0), (0, 0)))
        for number in changed:
            if number < len(trials):
                self._take(view, trials[number])

    def _take(self, view: View, trial: TrialState) -> None:
        for place in range(self.rungs.shape[1]):
            found = at_rung(view.history, trial, place)
            row = np.nan if found is None else (*found.losses, *found.excess)
            self.rungs[trial.number, place] = row
        if view.study.resource is None:
            self.curves[trial.number, 0] = self.rungs[trial.number, 0]
            return
        objectives, bounded = view.study.objectives, view.study.bounded
        columns = [self._column(trial.curve(m.name), m, losses=True) for m in objectives]
        columns += [self._column(trial.curve(m.name), m, losses=False) for m in bounded]
        self.curves[trial.number] = np.stack(columns, axis=1)

    def _column(self, curve: Curve, metric: Metric, *, losses: bool) -> Floats:
        """Return a metric's last values at or before the ladder's resources, up to where its curve goes."""
        found, place = np.full(len(self._ladder), np.nan), 0
        read = metric.loss if losses else metric.excess
        newest: float | None = None
        for step, level in enumerate(self._ladder):
            while place < len(curve) and curve[place][0] <= level:
                newest = read(curve[place][1])
                place += 1
            if newest is not None and curve[-1][0] >= level:
                found[step] = newest
        return found


@dataclass(frozen=True, slots=True)
class Scale:
    """What is usual, in the results of some trials."""

    best: Floats
    """Least loss of each objective, shape (m,)."""
    unit: Floats
    """From there to the upper quartile, 1 where that is nothing, shape (m,)."""
    beyond: Floats
    """Median of how far each bound was missed by what missed it, shape (bounds,)."""

    @classmethod
    def of(cls, results: Floats, objectives: int) -> Scale:
        """Return the scale of results, shape (..., k)."""
        flat = results.reshape(-1, results.shape[-1])
        best, unit = np.zeros(objectives), np.ones(objectives)
        for j in range(objectives):
            column = flat[np.isfinite(flat[:, j]), j]
            if len(column):
                best[j] = column.min()
                width = float(np.quantile(column, 0.75)) - best[j]
                unit[j] = width if 0.0 < width < math.inf else 1.0
        columns = (flat[:, j] for j in range(objectives, flat.shape[1]))
        missed = (column[(column > 0.0) & np.isfinite(column)] for column in columns)
        return cls(best, unit, np.array([float(np.median(c)) if len(c) else 1.0 for c in missed]))


def weights_of(view: View, number: int) -> Floats:
    """Return the weights of the objectives for trial `number`, shape (m,): the sum is 1."""
    drawn = -np.log1p(-view.rng("scalarisation", number).random(len(view.study.objectives)))
    found: Floats = drawn / max(float(drawn.sum()), 1e-300)
    return found


def scalarised(results: Floats, weights: Floats, scale: Scale) -> tuple[Floats, NDArray[np.bool_]]:
    """Return one loss for each result, NaN where there is none and +inf where it failed, and what is out of bounds.

    Args:
        results: shape (n, levels, k).
        weights: of the m objectives, shape (m,). With one objective its loss is taken as it is.
        scale: what is usual.

    Returns:
        Losses and flags, each of shape (n, levels).
    """
    m = len(weights)
    objectives, excess = results[..., :m], results[..., m:]
    if m == 1:
        losses = objectives[..., 0].copy()
    else:
        z = weights * (objectives - scale.best) / scale.unit
        losses = z.max(axis=-1) + AUGMENTATION * z.sum(axis=-1)
    missing = np.isnan(objectives[..., 0])
    losses = np.where(missing, np.nan, np.where(np.isnan(losses), np.inf, losses))
    far = np.minimum(np.where(np.isnan(excess), FARTHEST, excess / scale.beyond), FARTHEST).sum(axis=-1)
    out = (far > 0.0) & np.isfinite(losses)
    if not out.any():
        return losses, out
    for level in range(losses.shape[1]):
        column, beyond = losses[:, level], out[:, level]
        within = column[np.isfinite(column) & ~beyond]
        worst = within.max() if len(within) else 0.0
        width = float(np.quantile(within, 0.75) - within.min()) if len(within) else 1.0
        column[beyond] = worst + (width if width > 0.0 else 1.0) * far[beyond, level]
    return losses, out
