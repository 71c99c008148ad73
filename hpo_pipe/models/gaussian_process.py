"""Gaussian-process regression: Matern 5/2 with a length-scale per dimension, a constant mean, noise per row.

``k(u, v) = s^2 M52(u, v) + c^2`` where c^2 is the prior variance of the constant mean, which is thereby integrated
out. Pending rows are conditioned on their own posterior mean (the kriging believer): that leaves every mean as it
is and only lowers variances, so they enter the factor of the covariance, and not the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.kernels import matern52

Floats = NDArray[np.float64]

FIRST_JITTER = 1e-8
"""Of the mean of the diagonal; ten times more at every further try."""
TRIES = 8
BELIEF_NOISE = 1e-6


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Of the kernel and the noise."""

    lengthscales: tuple[float, ...]
    variance: float
    """s^2."""
    noise: float
    """Variance that every row has beside its own."""
    mean_variance: float = 4.0
    """c^2."""


class GaussianProcess:
    """The posterior given rows and values."""

    def __init__(
        self,
        distances: Distances,
        hyperparameters: Hyperparameters,
        rows: Floats,
        values: Floats,
        noise: Floats | None = None,
    ) -> None:
        """Condition on data.

        Args:
            distances: between rows.
            hyperparameters: of the kernel.
            rows: shape (n, d), in the unit cube; NaN: inactive.
            values: shape (n,), finite.
            noise: variance of each row beside the common one, shape (n,); none without.
        """
        self._distances, self._parameters = distances, hyperparameters
        self._lengthscales = np.array(hyperparameters.lengthscales)
        self._rows = rows
        own = np.zeros(len(rows)) if noise is None else noise
        covariance = self.covariance(rows, rows)
        covariance[np.diag_indices_from(covariance)] += own + hyperparameters.noise
        self._factor = cholesky(covariance)
        self._weights = _solved(self._factor, _solved(self._factor, values), transposed=True)
        self._known = len(rows)
        self.fitted: Floats = values - (own + hyperparameters.noise) * self._weights
        """The posterior mean at the rows, shape (n,): a value less what is taken for noise in it."""
        self.least = float(self.fitted.min())
        """The least posterior mean at the rows, believed ones among them: what is to be improved on."""

    @property
    def rows(self) -> Floats:
        """The rows with values, shape (n, d)."""
        return self._rows[: self._known]

    def best_rows(self, count: int) -> Floats:
        """Return the rows of the `count` least posterior means, best first, shape (count, d)."""
        return self.rows[np.argsort(self.fitted, kind="stable")[:count]]

    def believing(self, rows: Floats, noise: float = BELIEF_NOISE) -> GaussianProcess:
        """Return the process that also believes its own mean at `rows`, shape (k, d): O(k n^2).

        What is believed is the function, so it has no noise but `noise`: with that of an observation, workers that ask
        together would be sent to the same noisy place again and again.
        """
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        if not len(rows):
            return other
        beside = _solved(self._factor, self.covariance(self._rows, rows))
        corner = self.covariance(rows, rows) - beside.T @ beside
        corner[np.diag_indices_from(corner)] += noise
        n, k = len(self._rows), len(rows)
        factor = np.zeros((n + k, n + k))
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self._factor, beside.T, cholesky(corner)
        other._factor, other._rows = factor, np.vstack([self._rows, rows])
        other.least = min(self.least, float(self.mean(rows).min()))
        return other

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Return the prior covariance, shape (n, m)."""
        found = matern52(self._distances.scaled(a, b, self._lengthscales))
        found *= self._parameters.variance
        found += self._parameters.mean_variance
        return found

    def posterior(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the function (without noise) at `rows`, each shape (m,)."""
        cross = self.covariance(self._rows, rows)
        mean = self._weights @ cross[: self._known]
        reduced = _solved(self._factor, cross)
        prior = self._parameters.variance + self._parameters.mean_variance
        variance = prior - np.einsum("ij,ij->j", reduced, reduced)
        return mean, np.sqrt(np.maximum(variance, 1e-12 * prior))

    def mean(self, rows: Floats) -> Floats:
        """Return the posterior mean at `rows`, shape (m,)."""
        mean: Floats = self._weights @ self.covariance(self._rows[: self._known], rows)
        return mean

    def joint(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return mean, shape (m,), and covariance, shape (m, m), of the function at `rows`."""
        cross = self.covariance(self._rows, rows)
        reduced = _solved(self._factor, cross)
        return self._weights @ cross[: self._known], self.covariance(rows, rows) - reduced.T @ reduced

    def left_out(self) -> tuple[Floats, Floats]:
        """Return mean and variance (with noise) of each value given all others, each shape (n,).

        From the inverse of the covariance (Rasmussen and Williams 2006, 5.12): y_i - w_i / Kinv_ii, 1 / Kinv_ii. The
        mean is given as its difference from the value, w_i / Kinv_ii.
        """
        inverse = _solved(self._factor, np.eye(len(self._factor)))
        diagonal = np.einsum("ij,ij->j", inverse, inverse)[: self._known]
        return self._weights / diagonal, 1.0 / diagonal


def cholesky(matrix: Floats) -> Floats:
    """Return the lower factor of a covariance; where it is singular, of one with some jitter on its diagonal."""
    from scipy.linalg.lapack import dpotrf

    jitter = FIRST_JITTER * float(np.mean(np.diagonal(matrix)))
    attempt = matrix
    for _ in range(TRIES):
        factor, failed = dpotrf(attempt, lower=1, clean=1)
        if not failed:
            found: Floats = factor
            return found
        attempt = matrix + jitter * np.eye(len(matrix))
        jitter *= 10.0
    raise FloatingPointError("a covariance has no Cholesky factor even with jitter")


def _solved(factor: Floats, right: Floats, transposed: bool = False) -> Floats:
    from scipy.linalg.blas import dtrsm

    if right.ndim == 1:
        return _solved(factor, right[:, None], transposed)[:, 0]
    found: Floats = dtrsm(1.0, factor, right, lower=1, trans_a=int(transposed))
    return found
