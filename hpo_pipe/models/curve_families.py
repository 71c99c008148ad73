"""Families of learning curves, and how one is fitted: Domhan, Springenberg, Hutter, IJCAI 2015, table 1.

All rise, as accuracy does, from x = 1 on. Janoschek's curve is the paper's exp4 in other letters, so exp3 stands beside
it; Hill's and log_power are one curve as well, which the paper counts twice: from other starts they may end elsewhere.
Where the paper has a beginning b and an end e we have e and e - b >= 0, so that no curve falls; kappa is ln kappa.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST, HIGHEST = -1.0, 1.5
"""Of a curve's end, in the scale in which most curves begin near 0 and the best value is 1."""
MOST = HIGHEST - LOWEST
MAX_EVALUATIONS = 200
OUTLIER = 0.05
"""Residuals beyond it count by their size instead of its square (soft L1)."""
TOLERANCE = 1e-5
FLAT = 1e-8
SPARE = 2
"""Points that a family needs beside one for each parameter: with fewer it would pass through all of them."""
LEAST_VARIANCE = 1e-8
"""Of residuals: an exact fit is not taken for certainty."""

Value = Callable[[Floats, Floats], Floats]
"""(parameters, x) to values, shape of x."""
Slopes = Callable[[Floats, Floats], tuple[Floats, ...]]
"""(parameters, x) to the derivative of the values by each parameter."""


@dataclass(frozen=True, slots=True)
class Family:
    """One formula."""

    value: Value
    slopes: Slopes
    bounds: tuple[tuple[float, float], ...]
    """Of each parameter."""
    starts: tuple[tuple[float, ...], ...]
    """From which it is fitted; the paper's is the first."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A family fitted to a curve."""

    family: Family
    parameters: Floats
    residual: float
    """Variance of the residuals, with the degrees of freedom that are left."""
    criterion: float
    """Bayesian information criterion: the least is the best."""
    information: Floats
    """Of the parameters, shape (k, k): the inverse of their covariance, within the bounds."""

    def at(self, x: float) -> tuple[float, float]:
        """Return the curve at x, and the variance that the parameters' uncertainty gives it."""
        place = np.array([x])
        mean = float(self.family.value(self.parameters, place)[0])
        slope = np.array([float(column[0]) for column in _columns(self.family, self.parameters, place)])
        return mean, float(slope @ np.linalg.solve(self.information, slope))


def fit(family: Family, x: Floats, y: Floats) -> Fit | None:
    """Return the best fit from the family's starts by least squares with soft L1 loss.

    Args:
        family: the formula.
        x: at least 1, rising, shape (n,).
        y: shape (n,).

    Returns:
        None where there are too few points.

    Raises:
        ArithmeticError, ValueError: the numbers do not allow of a fit.
    """
    from scipy.optimize import least_squares

    count = len(family.bounds)
    if len(x) < count + SPARE:
        return None
    low, high = np.array(family.bounds).T
    found = [
        least_squares(
            lambda p: family.value(p, x) - y,
            start,
            jac=lambda p: np.stack(_columns(family, p, x), axis=1),
            bounds=(low, high),
            loss="soft_l1",
            f_scale=OUTLIER,
            max_nfev=MAX_EVALUATIONS,
            ftol=TOLERANCE,
            xtol=TOLERANCE,
            gtol=FLAT,
        )
        for start in family.starts
    ]
    best = min(found, key=lambda result: float(result.cost))
    total = 2.0 * float(best.cost)
    if not math.isfinite(total):
        raise FloatingPointError("a curve has no finite distance from its points")
    residual = max(total / (len(x) - count), LEAST_VARIANCE)
    criterion = len(x) * math.log(max(total / len(x), LEAST_VARIANCE)) + count * math.log(len(x))
    # the bounds' widths as standard deviations of a prior: what the points leave open is open, yet not endless
    information = best.jac.T @ best.jac / residual + np.diag((high - low) ** -2.0)
    return Fit(family, best.x, residual, criterion, information)


def _columns(family: Family, parameters: Floats, x: Floats) -> tuple[Floats, ...]:
    return tuple(np.broadcast_to(column, x.shape) for column in family.slopes(parameters, x))


def _pow3(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] - p[1] * x ** -p[2]
    return found


def _pow3_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    left = x ** -p[2]
    return np.ones_like(x), -left, p[1] * left * np.log(x)


def _exp3(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] - np.exp(p[2] - p[1] * x)
    return found


def _exp3_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    left = np.exp(p[2] - p[1] * x)
    return np.ones_like(x), x * left, -left


def _mmf(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] - p[1] / (1.0 + np.exp(p[3] * (np.log(x) + p[2])))
    return found


def _mmf_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    after = np.log(x) + p[2]
    grown = np.exp(p[3] * after)
    left = 1.0 / (1.0 + grown)
    bend = p[1] * left * left * grown
    return np.ones_like(x), -left, bend * p[3], bend * after


def _janoschek(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] - p[1] * np.exp(-np.exp(p[2] + p[3] * np.log(x)))
    return found


def _janoschek_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    grown = np.exp(p[2] + p[3] * np.log(x))
    left = np.exp(-grown)
    bend = p[1] * left * grown
    return np.ones_like(x), -left, bend, bend * np.log(x)


def _hill(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] / (1.0 + np.exp(p[1] * (p[2] - np.log(x))))
    return found


def _hill_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    before = p[2] - np.log(x)
    left = np.exp(p[1] * before)
    share = 1.0 / (1.0 + left)
    bend = p[0] * share * share * left
    return share, -bend * before, -bend * p[1]


def _ilog2(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] - p[1] / np.log(x + 1.0)
    return found


def _ilog2_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    return np.ones_like(x), -1.0 / np.log(x + 1.0)


def _log_power(p: Floats, x: Floats) -> Floats:
    found: Floats = p[0] / (1.0 + np.exp(p[2] * (np.log(x) - p[1])))
    return found


def _log_power_slopes(p: Floats, x: Floats) -> tuple[Floats, ...]:
    after = np.log(x) - p[1]
    left = np.exp(p[2] * after)
    share = 1.0 / (1.0 + left)
    bend = p[0] * share * share * left
    return share, bend * p[2], -bend * after


_END, _GAIN, _TOP, _RATE = (LOWEST, HIGHEST), (0.0, MOST), (0.0, HIGHEST), (-9.0, 2.3)

FAMILIES: dict[str, Family] = {
    "pow3": Family(  # c - a x^-alpha
        _pow3,
        _pow3_slopes,
        (_END, (0.0, 2.0 * MOST), (0.005, 5.0)),
        ((0.84, 0.52, 0.01), (0.84, 0.52, 0.5), (0.5, 0.5, 2.0)),
    ),
    "exp3": Family(  # c - exp(b - a x)
        _exp3,
        _exp3_slopes,
        (_END, (1e-4, 5.0), (-8.0, 4.0)),
        ((0.7, 0.8, 0.3), (0.7, 0.1, -0.5), (0.7, 0.01, -0.5)),
    ),
    "mmf": Family(  # e - g / (1 + (kappa x)^delta)
        _mmf,
        _mmf_slopes,
        (_END, _GAIN, _RATE, (0.05, 6.0)),
        ((0.7, 0.6, -4.61, 5.0), (0.7, 0.6, -2.3, 1.0), (0.5, 0.5, 0.0, 1.0)),
    ),
    "janoschek": Family(  # e - g exp(-kappa x^delta)
        _janoschek,
        _janoschek_slopes,
        (_END, _GAIN, _RATE, (0.05, 3.0)),
        ((0.73, 0.66, -1.04, 0.46), (0.7, 0.6, -3.0, 1.0), (0.5, 0.5, 0.0, 0.5)),
    ),
    "hill": Family(  # theta x^eta / (kappa^eta + x^eta)
        _hill,
        _hill_slopes,
        (_TOP, (0.05, 6.0), (-7.0, 9.0)),
        ((0.772, 0.586, 0.9), (0.8, 1.0, 3.0), (0.5, 2.0, 2.3)),
    ),
    "ilog2": Family(  # c - a / ln(x + 1)
        _ilog2,
        _ilog2_slopes,
        (_END, (0.0, 2.0 * MOST)),
        ((0.78, 0.43), (0.5, 0.1), (1.0, 1.0)),
    ),
    "log_power": Family(  # a / (1 + (x / e^b)^c)
        _log_power,
        _log_power_slopes,
        (_TOP, (-7.0, 9.0), (-6.0, -0.05)),
        ((0.77, 2.98, -0.51), (0.8, 1.0, -1.0), (0.5, 4.0, -2.0)),
    ),
}
"""By name."""
