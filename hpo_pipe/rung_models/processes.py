"""Gaussian processes over warped results of a rung. A few are kept, by their content."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.map_fit import MAX_CELLS, Priors, fit
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.schedule import chosen
from hpo_pipe.models.warping import warped
from hpo_pipe.rung_models.evidence import Measured
from hpo_pipe.space import Space
from hpo_pipe.view import View

Floats = NDArray[np.float64]

CAP, FIT_CAP = 600, 200
"""Rows of a model, and of a fit of its hyper-parameters."""
_FITS: Recent[Hyperparameters] = Recent(32)
_MODELS: Recent[GaussianProcess] = Recent(8)


def fitted(view: View, data: Measured, warping: str, cap: int = FIT_CAP) -> Hyperparameters:
    """Return the hyper-parameters of at most `cap` results, from the same start every time."""
    d = len(view.space.dimensions)
    cap = max(16, min(cap, math.isqrt(MAX_CELLS // d)))
    kept, values = thinned(data, warping, cap)
    distances = distances_of(view.space)
    return _FITS.get(
        lambda: fit(distances, kept.rows, values, Priors.dimension_scaled(d)),
        kept.rows,
        values,
        distances.categories,
    )


def process(view: View, data: Measured, values: Floats, hyperparameters: Hyperparameters) -> GaussianProcess:
    """Return a Gaussian process over warped results, shape (n,)."""
    distances = distances_of(view.space)
    return _MODELS.get(
        lambda: GaussianProcess(distances, hyperparameters, data.rows, values),
        data.rows,
        values,
        hyperparameters,
        distances.categories,
    )


def thinned(data: Measured, warping: str, cap: int = CAP) -> tuple[Measured, Floats]:
    """Return at most `cap` results, the best, the newest and some of the rest, and their warped values."""
    values = warped(data.losses, warping)
    places = chosen(data.order, cap)
    kept = Measured(data.rung, data.trials[places], data.rows[places], data.losses[places])
    return kept, values[places]


def distances_of(space: Space) -> Distances:
    """Return the distances between configurations of a space."""
    return Distances.of([dimension.kind for dimension in space.kinds])
