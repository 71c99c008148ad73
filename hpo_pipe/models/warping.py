"""From losses to values that a Gaussian process can model: outliers cut, tails bent, mean 0, deviation 1.

All maps are monotone, and depend on losses through differences and ratios only, so that a metric in another unit
leads to the same values. A failure (+inf) counts as the worst.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOOR = 0.5
"""What keeps the logarithm from its pole. With a small one the incumbent becomes an outlier that no candidate can be
expected to beat, and only the most uncertain ones are chosen."""
CUT = 5.0
"""Losses beyond best + 5 (median - best) are all alike."""

WARPINGS = ("log", "winsorize", "yeo-johnson", "none")


def standardised(values: Floats) -> Floats:
    """Return values less their mean by their deviation; zeros where there is none to speak of. Shape (n,)."""
    if not len(values):
        return values
    above = values - values.min()
    widest, scale = float(above.max()), float(np.abs(values).max())
    if widest <= max(1e-12 * scale, 1e-300) or not math.isfinite(widest):
        return np.zeros_like(values)
    above = above / widest  # squares of what is left cannot overflow
    centred = above - above.mean()
    found: Floats = centred / centred.std()
    return found


def filled(losses: Floats) -> Floats:
    """Return losses with the worst finite one in the place of those that are not; zeros where none is finite."""
    finite = np.isfinite(losses)
    if not finite.any():
        return np.zeros_like(losses)
    return np.where(finite, losses, losses[finite].max())


def warped(losses: Floats, how: str = "log") -> Floats:
    """Return losses, shape (n,), as standardised values of the same order.

    Args:
        losses: +inf for failures.
        how: ``log``: cut at best + 5 s and z = ln((loss - best) / s + 0.5), s = median - best; ``winsorize``: cut at
            q90 + (q90 - best) / 2; ``yeo-johnson``: the power transform that looks most normal (Yeo and Johnson
            2000); ``none``.
    """
    values = filled(losses)
    if how == "log":
        return standardised(_bent(values)[0])
    if how == "winsorize":
        return standardised(_winsorised(values))
    if how == "yeo-johnson":
        return standardised(_yeo_johnson(standardised(values)))
    return standardised(values)


def warped_curves(curves: Floats) -> Floats:
    """Return curves, shape (n, m), NaN where nothing was reported, in the scale of the freeze-thaw model.

    z = ln((y - best) / s + 0.5) with s = median - best of all values, cut at best + 5 s; less the median, by the
    deviation. A curve ends with its first value that is not finite, which counts as the worst.
    """
    there = ~np.isnan(curves)
    diverged = np.cumsum(np.isinf(curves), axis=1)
    there &= diverged - np.isinf(curves) == 0
    found = np.full_like(curves, np.nan)
    values = curves[there]
    finite = np.isfinite(values)
    if not finite.any():
        found[there] = 0.0
        return found
    best = values[finite].min()
    middle = float(np.median(np.where(finite, values, values[finite].max()) - best))
    if middle <= 0.0:
        found[there] = np.where(finite & (values <= best), 0.0, 1.0 if (values > best).any() else 0.0)
        return found
    z = np.log(np.minimum((values - best) / middle, CUT) + FLOOR)
    centred = z - float(np.median(z))
    deviation = float(centred.std())
    found[there] = centred / (deviation if deviation > 1e-12 else 1.0)
    return found


def _bent(values: Floats) -> tuple[Floats, float]:
    above = values - values.min(initial=math.inf)
    middle = float(np.median(above)) if len(values) else 0.0
    if middle <= 0.0:  # half of all values are the best one
        middle = float(above.max(initial=0.0)) / CUT
    if middle <= 0.0:
        return np.zeros_like(values), 0.0
    return np.log(np.minimum(above / middle, CUT) + FLOOR), middle


def _winsorised(values: Floats) -> Floats:
    above = values - values.min(initial=math.inf)
    high = float(np.quantile(above, 0.9)) if len(values) else 0.0
    found: Floats = np.minimum(above, 1.5 * high) if high > 0.0 else above
    return found


def _yeo_johnson(values: Floats) -> Floats:
    from scipy.stats import yeojohnson, yeojohnson_normmax

    if len(values) < 3 or not values.any():
        return values
    power = float(f"{min(max(float(yeojohnson_normmax(values)), -4.0), 4.0):.6g}")
    found: Floats = yeojohnson(values, lmbda=power)
    return found if np.isfinite(found).all() and found.std() >= 1e-6 else values
