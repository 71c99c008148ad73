"""The kernel densities of statsmodels, and scipy's truncated normal draws, without what they spend beside the numbers.

Both BOHBs evaluate thousands of one-point densities and one-number draws; these take a tenth of the time, and are the
same numbers (densities) and the same distribution (draws).
"""

from __future__ import annotations

from typing import Any

import numpy as np


def quick_densities() -> None:
    """Put them in place of statsmodels' and scipy's, in this process; twice is once."""
    import scipy.stats
    from statsmodels.nonparametric.kernel_density import KDEMultivariate

    if hasattr(KDEMultivariate, "slow_pdf"):
        return
    KDEMultivariate.slow_pdf = KDEMultivariate.pdf
    KDEMultivariate.pdf = _pdf
    scipy.stats.truncnorm.rvs = _truncated


def _pdf(self: Any, data_predict: Any = None) -> Any:
    x = np.asarray(data_predict, dtype=float)
    if data_predict is None or x.size != self.k_vars or "u" in self.var_type:
        return self.slow_pdf(data_predict)
    x, data, width = x.reshape(1, -1), np.asarray(self.data, dtype=float), np.asarray(self.bw, dtype=float)
    smooth = np.array([kind == "c" for kind in self.var_type])
    density = np.exp(-0.5 * (((data[:, smooth] - x[:, smooth]) / width[smooth]) ** 2).sum(axis=1))
    density = density / (np.sqrt(2 * np.pi) ** smooth.sum() * np.prod(width[smooth]))
    if not smooth.all():
        share, far = width[~smooth], np.abs(data[:, ~smooth] - x[:, ~smooth])
        density = density * np.where(far == 0, 1 - share, 0.5 * (1 - share) * share**far).prod(axis=1)
    return density.sum() / self.nobs


def _truncated(
    a: Any, b: Any, loc: Any = 0, scale: Any = 1, size: Any = None, random_state: Any = None
) -> Any:
    from scipy.special import ndtr, ndtri

    u = (random_state or np.random).uniform(ndtr(a), ndtr(b), size)
    return loc + scale * np.clip(ndtri(u), a, b)
