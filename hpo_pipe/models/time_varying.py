"""A Gaussian process whose function drifts: what was seen long ago says less (Bogunovic et al. 2016, arXiv:1601.06650).

``k((t, u), (t', v)) = (1 - eps)^(|t - t'| / 2) k(u, v)``, the time-varying bandit of PB2. The hyper-parameters of k are
fitted as if nothing drifted, and then eps is the one of a few rates with the greatest evidence.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.map_fit import Priors, fit

Floats = NDArray[np.float64]

RATES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Of forgetting, for each unit of time."""


class TimeVarying(GaussianProcess):
    """The posterior given rows and values. The first column of every row is its time, the others are numbers."""

    def __init__(self, hyperparameters: Hyperparameters, rate: float, rows: Floats, values: Floats) -> None:
        """Condition on data; rows of shape (n, 1 + d), values of shape (n,)."""
        self.rate = rate
        distances = Distances.of(["number"] * (rows.shape[1] - 1))
        super().__init__(distances, hyperparameters, rows, values)
        self.evidence = -0.5 * float(values @ self._weights) - float(np.log(np.diagonal(self._factor)).sum())
        """The logarithm of the density of the values, up to a constant."""

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Return the prior covariance, shape (n, m)."""
        found = super().covariance(a[:, 1:], b[:, 1:])
        found *= (1.0 - self.rate) ** (0.5 * np.abs(a[:, :1] - b[:, 0]))
        return found


def time_varying(rows: Floats, values: Floats) -> TimeVarying:
    """Return the process with fitted hyper-parameters.

    Args:
        rows: shape (n, 1 + d): time, and numbers in the unit interval; NaN: inactive.
        values: standardised, shape (n,).
    """
    hyperparameters, rate = _fitted(rows.tobytes(), values.tobytes(), rows.shape[1])
    return TimeVarying(hyperparameters, rate, rows, values)


@lru_cache(maxsize=16)
def _fitted(rows_bytes: bytes, values_bytes: bytes, width: int) -> tuple[Hyperparameters, float]:
    """Fit once for all clones that are made on the same results."""
    rows = np.frombuffer(rows_bytes).reshape(-1, width)
    values = np.frombuffer(values_bytes)
    distances = Distances.of(["number"] * (width - 1))
    found = fit(distances, rows[:, 1:], values, Priors.dimension_scaled(width - 1))
    evidence = [round(TimeVarying(found, rate, rows, values).evidence, 6) for rate in RATES]
    return found, RATES[int(np.argmax(evidence))]
