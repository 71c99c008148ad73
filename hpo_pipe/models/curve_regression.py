"""How a curve ends, from how completed ones with similar beginnings did: a Gaussian process over curves.

Golovin et al., KDD 2017 (Vizier), section 3.1.1, name the model and leave its kernel open. Ours, of curves' values
phi at m steps, the last of them u, all standardised step by step as the ends are:
``k(c, c') = exp(-||phi - phi'||^2 / (2 l^2 m)) + u u'``, with noise; the length-scale l and the noise are those of a
grid under which every completed curve's end is most probable given all others (leave-one-out). The variance is that
of the ends, 1: a scale that is fitted to ten curves makes the process sure of those that are like none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.gaussian_process import cholesky
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.warping import CUT
from hpo_pipe.normal import share_below

Floats = NDArray[np.float64]

LENGTHSCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
NOISES = (1e-3, 1e-2, 0.1, 0.5)
"""Variances, beside that of the kernel."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of a curve's end."""

    mean: float
    deviation: float

    def below(self, target: float) -> float:
        """Return the probability of an end below `target`."""
        return share_below((target - self.mean) / self.deviation)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Standardises values, shape (n,) or (n, m), each column for itself: cut above, mean 0, deviation 1."""

    best: Floats
    cut: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, values: Floats) -> _Unit:
        """Return the unit of values: what lies beyond best + 5 (median - best) is all alike."""
        best, middle = values.min(axis=0), np.median(values, axis=0)
        cut = np.where(middle > best, (middle - best) * CUT, np.inf)
        above = np.minimum(values - best, cut)
        deviation = above.std(axis=0)
        return cls(
            best, cut, above.mean(axis=0), np.where(deviation > 1e-12 * above.max(axis=0), deviation, np.inf)
        )

    def __call__(self, values: Floats) -> Floats:
        """Return values in this unit; those below the best are not cut."""
        found: Floats = (np.minimum(values - self.best, self.cut) - self.mean) / self.deviation
        return found


@dataclass(frozen=True, slots=True)
class CurveProcess:
    """The posterior given completed curves."""

    unit: _Unit
    ends: _Unit
    rows: Floats
    lengthscale: float
    noise: float
    factor: Floats
    weights: Floats

    def forecast(self, values: Floats) -> Forecast:
        """Return how a curve ends that has begun with `values`, shape (m,), in the unit of losses."""
        from scipy.linalg.blas import dtrsm

        row = self.unit(values)[None]
        cross = kernel(self.rows, row, self.lengthscale)
        reduced = dtrsm(1.0, self.factor, cross, lower=1)[:, 0]
        own = float(kernel(row, row, self.lengthscale)[0, 0]) + self.noise
        variance = max(own - float(reduced @ reduced), self.noise)
        width = float(self.ends.deviation)
        mean = float(self.ends.best + self.ends.mean) + width * float(self.weights @ cross[:, 0])
        return Forecast(mean, math.sqrt(variance) * width)


def curve_process(curves: Floats, ends: Floats) -> CurveProcess | None:
    """Return the process given completed curves; None where all ended alike.

    Args:
        curves: losses at m steps, shape (n, m); +inf where not finite, NaN where nothing had been reported.
        ends: their last losses, shape (n,); +inf for those that failed.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _RECENT.get(lambda: _fitted(filled_columns(curves), _filled(ends)), curves, ends)


def kernel(a: Floats, b: Floats, lengthscale: float) -> Floats:
    """Return the covariance of standardised curves, shapes (n, m) and (k, m): shape (n, k)."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    found: Floats = np.exp(np.maximum(squares, 0.0) / (-2.0 * lengthscale**2 * a.shape[1]))
    return found + np.outer(a[:, -1], b[:, -1])


def filled_columns(curves: Floats) -> Floats:
    """Return curves with each step's worst finite value where one is not finite, its median where there is none."""
    return np.stack([_filled(column) for column in curves.T], axis=1)


_RECENT: Recent[CurveProcess | None] = Recent(32)


def _filled(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros_like(values)
    found = np.where(np.isnan(values), np.median(finite), values)
    return np.where(np.isinf(found), finite.max(), found)


def _fitted(curves: Floats, ends: Floats) -> CurveProcess | None:
    """Return the process of the length-scale and noise that leave-one-out finds best; of equal ones the first."""
    unit, end = _Unit.of(curves), _Unit.of(ends)
    if not np.isfinite(end.deviation) or not end.deviation > 0.0:
        return None
    rows, values = unit(curves), end(ends)
    best: CurveProcess | None = None
    most = -math.inf
    for lengthscale in LENGTHSCALES:
        plain = kernel(rows, rows, lengthscale)
        for noise in NOISES:
            factor = cholesky(plain + noise * np.eye(len(rows)))
            score, weights = _left_out(factor, values)
            if score > most + 1e-9:
                most = score
                best = CurveProcess(unit, end, rows, lengthscale, noise, factor, weights)
    return best


def _left_out(factor: Floats, values: Floats) -> tuple[float, Floats]:
    """Return the leave-one-out log probability, up to a constant, and the weights.

    Rasmussen and Williams 2006, 5.10 to 5.12: the residual of value i given all others is w_i / Kinv_ii, its variance
    1 / Kinv_ii.
    """
    from scipy.linalg.lapack import dpotri

    half = dpotri(factor, lower=1)[0]
    inverse = half + np.tril(half, -1).T
    weights = inverse @ values
    diagonal = np.diagonal(inverse)
    return 0.5 * float(np.log(diagonal).sum() - (weights**2 / diagonal).sum()), weights
