"""The Matern 5/2 kernel and its derivative, in the squared distance, so that nothing divides by zero at 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROOT5 = math.sqrt(5.0)


def matern52(squared: Floats) -> Floats:
    """Return (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r) of squared distances r^2, any shape."""
    root = np.sqrt(squared)
    root *= _ROOT5
    polynomial = squared * (5.0 / 3.0)
    polynomial += root
    polynomial += 1.0
    np.negative(root, out=root)
    np.exp(root, out=root)
    polynomial *= root
    return polynomial


def matern52_slope(squared: Floats) -> Floats:
    """Return the kernel's derivative by r^2: -(5/6) (1 + sqrt(5) r) exp(-sqrt(5) r), finite at 0."""
    root = _ROOT5 * np.sqrt(squared)
    slope: Floats = (-5.0 / 6.0) * (1.0 + root) * np.exp(-root)
    return slope
