"""Hyper-parameters of a Gaussian process, by maximum a posteriori from fixed starts.

Maximum likelihood with fewer than about 4 d values sends length-scales to 0 or infinity; priors keep them. Every fit
starts from the priors' modes, never from an earlier fit, and its result is rounded: so it is a function of the
data alone, and the last bits of a machine's arithmetic do not show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import Hyperparameters, cholesky
from hpo_pipe.models.kernels import matern52, matern52_slope

Floats = NDArray[np.float64]

DIGITS = 6
ITERATIONS = 40
MAX_CELLS = 4_000_000
"""Numbers that a fit holds in its table of distances: n^2 d. Beyond, fewer rows are fitted."""


@dataclass(frozen=True, slots=True)
class Priors:
    """Normal priors (mean, standard deviation) of logarithms, and bounds."""

    lengthscale: tuple[float, float]
    variance: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (-5.0, 1.0)
    mean_variance: float = 4.0
    bounds: tuple[float, float] = (0.02, 20.0)
    """Of a length-scale."""
    least_noise: float = 1e-6

    @classmethod
    def dimension_scaled(cls, d: int) -> Priors:
        """Return those of Hvarfner et al. 2024 (arXiv:2402.02229): length-scales grow with sqrt(d).

        ln l ~ N(sqrt(2) + ln(d) / 2, 3) and noise ~ LogNormal(-4, 1) are densities of l and of the noise; their modes
        in the logarithm, where we search, lie one variance lower.
        """
        return cls(
            lengthscale=(math.sqrt(2.0) - 3.0 + 0.5 * math.log(max(d, 1)), math.sqrt(3.0)),
            noise=(-5.0, 1.0),
            bounds=(0.02, 20.0 * math.sqrt(max(d, 1))),
        )

    @classmethod
    def freeze_thaw(cls, d: int) -> Priors:
        """Return those of the freeze-thaw model: ln l ~ N(ln(sqrt(d / 4) / 2), 1), ln noise ~ N(ln 0.02, 1)."""
        return cls(
            lengthscale=(math.log(0.5 * math.sqrt(max(d, 1) / 4.0)), 1.0),
            noise=(math.log(0.02), 1.0),
            bounds=(0.02, 20.0 * math.sqrt(max(d, 1))),
        )


class Posterior:
    """The negative log posterior of hyper-parameters, with its gradient, as a function of their logarithms.

    The vector holds d length-scales, the variance s^2 and the noise, in this order.
    """

    def __init__(
        self, distances: Distances, rows: Floats, values: Floats, noise: Floats | None, priors: Priors
    ) -> None:
        n, self.d = rows.shape
        self._parts = distances.each(rows).reshape(self.d, n * n)
        self._values, self._own = values, np.zeros(n) if noise is None else noise
        self._priors = priors
        means = [*[priors.lengthscale[0]] * self.d, priors.variance[0], priors.noise[0]]
        spreads = [*[priors.lengthscale[1]] * self.d, priors.variance[1], priors.noise[1]]
        self.modes, self._spreads = np.array(means), np.array(spreads)

    def bounds(self) -> list[tuple[float, float]]:
        """Return bounds of the logarithms."""
        low, high = self._priors.bounds
        scale = (math.log(low), math.log(high))
        noise = (math.log(self._priors.least_noise), math.log(10.0))
        return [*[scale] * self.d, (math.log(1e-3), math.log(1e3)), noise]

    def __call__(self, logarithms: Floats) -> tuple[float, Floats]:
        """Return the negative log posterior and its gradient."""
        d, n = self.d, len(self._values)
        inverse_squares = np.exp(-2.0 * logarithms[:d])
        variance, noise = math.exp(logarithms[d]), math.exp(logarithms[d + 1])
        squared = (inverse_squares @ self._parts).reshape(n, n)
        kernel = variance * matern52(squared)
        covariance = kernel + self._priors.mean_variance
        covariance[np.diag_indices(n)] += self._own + noise
        factor = cholesky(covariance)
        inverse = _inverse(factor)
        weights = inverse @ self._values
        deviations = (logarithms - self.modes) / self._spreads
        value = 0.5 * float(self._values @ weights) + float(np.log(np.diagonal(factor)).sum())
        value += 0.5 * n * math.log(2.0 * math.pi) + 0.5 * float(deviations @ deviations)
        pull = inverse - np.outer(weights, weights)
        gradient = np.empty(d + 2)
        slopes = (pull * matern52_slope(squared)).ravel()
        gradient[:d] = -variance * inverse_squares * (self._parts @ slopes)
        gradient[d] = 0.5 * float(np.vdot(pull, kernel))
        gradient[d + 1] = 0.5 * noise * float(np.trace(pull))
        return value, gradient + deviations / self._spreads


def fit(
    distances: Distances,
    rows: Floats,
    values: Floats,
    priors: Priors,
    noise: Floats | None = None,
    iterations: int = ITERATIONS,
) -> Hyperparameters:
    """Return the hyper-parameters of the greatest posterior density that L-BFGS-B finds from two fixed starts.

    Args:
        distances: between rows.
        rows: shape (n, d).
        values: standardised, shape (n,).
        priors: of the hyper-parameters.
        noise: variance of each row beside the common one, shape (n,).
        iterations: of L-BFGS-B, for each start.
    """
    from scipy.optimize import minimize

    posterior = Posterior(distances, rows, values, noise, priors)
    bounds = posterior.bounds()
    low, high = np.array(bounds).T
    short = posterior.modes - np.array([*[0.7] * posterior.d, 0.0, 1.5])
    best, least = posterior.modes, math.inf
    for start in (posterior.modes, short) if len(values) <= 60 else (posterior.modes,):
        found = minimize(
            posterior,
            np.clip(start, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": iterations, "ftol": 1e-7, "gtol": 1e-4},
        )
        if math.isfinite(found.fun) and found.fun < least - 1e-6:
            best, least = found.x, found.fun
    numbers = [rounded(math.exp(x)) for x in best]
    d = posterior.d
    return Hyperparameters(tuple(numbers[:d]), numbers[d], numbers[d + 1], priors.mean_variance)


def rounded(number: float) -> float:
    """Return a number with the digits that all machines agree on."""
    return float(f"{number:.{DIGITS}g}")


def _inverse(factor: Floats) -> Floats:
    from scipy.linalg.lapack import dpotri

    half, _ = dpotri(factor, lower=1)
    inverse: Floats = half + np.tril(half, -1).T
    return inverse
