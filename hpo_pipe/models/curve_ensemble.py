"""Where a learning curve leads: all families of :mod:`hpo_pipe.models.curve_families`, weighed by how well they fit.

Domhan et al. 2015 sample parameters and weights by Markov chains, for minutes of a processor's time. Here every
family is fitted once and weighed by exp(-BIC / 2); the variance of the prediction is that of the parameters, of the
families among themselves, and of the residuals, which counts more the further ahead the prediction looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.curve_families import FAMILIES, HIGHEST, LOWEST, Fit, fit
from hpo_pipe.models.recent import Recent
from hpo_pipe.normal import share_below

Floats = NDArray[np.float64]

LOOK_AHEAD = 5
RISE = 0.05
LEAST_FAMILIES = 3
"""Fewer say nothing of how much families differ."""
LONGEST = 60
"""Points that are fitted, of more evenly many."""
WHOLE = 300.0
"""x at the greatest resource, at most: the families' starts and bounds are made for epochs."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What families say together of a curve's end."""

    mean: float
    deviation: float
    stretch: float
    """How many times as long as what was observed the whole curve is."""
    fitted: tuple[str, ...]
    failed: tuple[str, ...]
    """Families whose fit raised an error."""

    def exceeds(self, target: float) -> float:
        """Return the probability of a value above `target`."""
        return share_below((self.mean - target) / self.deviation)


def predict(resources: Floats, values: Floats, top: int) -> Prediction | None:
    """Return where a rising curve leads at resource `top`, or None where there is too little of it.

    Args:
        resources: at least 1, rising, shape (n,).
        values: in the scale of the families, finite, shape (n,).
        top: the greatest resource, beyond the last of them.
    """
    return _RECENT.get(lambda: _predicted(resources, values, top), resources, values, top, tuple(FAMILIES))


def plateau(values: Floats) -> int:
    """Return how many values to drop: those before the first one whose next five all exceed the first by 0.05.

    None where there is no such one.
    """
    risen = values > values[0] + RISE
    places = range(len(risen) - LOOK_AHEAD)
    return next((place for place in places if risen[place + 1 : place + 1 + LOOK_AHEAD].all()), 0)


_RECENT: Recent[Prediction | None] = Recent(1024)


def _predicted(resources: Floats, values: Floats, top: int) -> Prediction | None:
    values = np.clip(values, LOWEST, HIGHEST)
    dropped = plateau(values)
    begin = float(resources[dropped]) if dropped else 1.0
    scale = min(1.0, WHOLE / top)
    x, y = _thinned(1.0 + scale * (resources[dropped:] - begin), values[dropped:])
    end = 1.0 + scale * (top - begin)
    with np.errstate(all="ignore"):
        fits, failed = _fits(x, y)
        if len(fits) < LEAST_FAMILIES:
            return None
        mean, variance = _together(list(fits.values()), x, y, end)
    if not (math.isfinite(mean) and math.isfinite(variance) and variance > 0.0):
        return None
    return Prediction(mean, math.sqrt(variance), end / float(x[-1]), tuple(fits), failed)


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    if len(x) <= LONGEST:
        return x, y
    places = np.arange(LONGEST) * (len(x) - 1) // (LONGEST - 1)
    return x[places], y[places]


def _fits(x: Floats, y: Floats) -> tuple[dict[str, Fit], tuple[str, ...]]:
    found, failed = {}, []
    for name, family in FAMILIES.items():
        try:
            if (fitted := fit(family, x, y)) is not None:
                found[name] = fitted
        except (ArithmeticError, ValueError):
            failed.append(name)
    return found, tuple(failed)


def _together(fits: list[Fit], x: Floats, y: Floats, end: float) -> tuple[float, float]:
    """Return mean and variance of what will be reported at `end`."""
    criteria = np.array([found.criterion for found in fits])
    weights = np.exp(-0.5 * (criteria - criteria.min()))
    weights /= weights.sum()
    means, variances = np.array([found.at(end) for found in fits]).T
    means = np.clip(means, y[0], HIGHEST)
    residuals = np.array([found.residual for found in fits])
    mean = float(weights @ means)
    between = (means - mean) ** 2
    ahead = 1.0 + math.log(end / float(x[-1]))
    return mean, float(weights @ (variances + between + residuals * ahead))
