"""Normal distributions cut to [0, 1], in log space, and drawn by inverting their distribution function."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def log_mass(low: Floats, high: Floats) -> Floats:
    """Return ln(Phi(high) - Phi(low)) for low < high, without cancellation in the tails."""
    from scipy.special import log_ndtr

    mirrored = low > 0
    a, b = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    upper = log_ndtr(b)
    share = np.minimum(log_ndtr(a) - upper, -1e-300)
    found: Floats = upper + np.log(-np.expm1(share))
    return found


def log_density(x: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return the log density at x in [0, 1] of a normal cut to [0, 1]; arguments broadcast."""
    z = (x - mean) / deviation
    mass = log_mass(-mean / deviation, (1.0 - mean) / deviation)
    found: Floats = -0.5 * z * z - np.log(deviation) - _HALF_LOG_2PI - mass
    return found


def draw(u: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return the values below which a share u in [0, 1) of normals cut to [0, 1] lies; arguments broadcast."""
    from scipy.special import ndtr, ndtri

    low, high = -mean / deviation, (1.0 - mean) / deviation
    mirrored = low > 0
    a, b = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    share = np.where(mirrored, 1.0 - u, u)
    below = ndtr(a)
    z = ndtri(np.clip(below + share * (ndtr(b) - below), 1e-300, 1.0))
    z = np.clip(np.where(mirrored, -z, z), low, high)
    found: Floats = np.clip(mean + deviation * z, 0.0, 1.0)
    return found
