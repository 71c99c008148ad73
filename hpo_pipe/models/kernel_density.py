"""Kernel densities over the unit cube: what good configurations have in common, and bad ones.

A density is a mixture of one product kernel per row and a prior component, uniform or the user's. Numbers have
normal kernels cut to [0, 1]; values with an order the mass of such a kernel in their cell; categories a kernel that
keeps its own value with probability 1 - w. A row's inactive parameters say nothing: their kernel is uniform, and a
candidate's inactive parameters are left out. Everything is computed in log space.

This is the density of BOHB (Falkner et al. 2018, arXiv:1807.01774) and, with other bandwidths, the Parzen estimator of
TPE (Bergstra et al. 2011), mended: the bandwidths of categories come from their counts and not from the
deviation of arbitrary codes, kernels are normalised at the borders, and the prior component bounds the ratio of two
densities where both are small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.truncated_normal import draw, log_density, log_mass

Floats = NDArray[np.float64]

GREATEST_BANDWIDTH = 0.5
LEAST_WEIGHT = 0.05
"""Of a category's other values, all together."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of good configurations before any was tried."""

    log_density: Callable[[Floats], Floats]
    """Rows, shape (m, d), to the log of their density relative to the uniform one, shape (m,)."""
    transform: Callable[[Floats], Floats]
    """Uniform rows to rows drawn from the prior."""


UNIFORM = Prior(lambda rows: np.zeros(len(rows)), lambda rows: rows)


class KernelDensity:
    """A mixture of kernels, fitted."""

    def __init__(
        self,
        dimensions: Dimensions,
        rows: Floats,
        bandwidths: Floats,
        weights: Floats | None = None,
        prior_weight: float = 1.0,
        prior: Prior = UNIFORM,
    ) -> None:
        """Put a kernel on every row.

        Args:
            dimensions: of the space.
            rows: shape (n, d); NaN: inactive.
            bandwidths: shape (n, d); of a number the kernel's deviation, of a category the weight of its other values.
            weights: of the rows, shape (n,); 1 each without.
            prior_weight: of the prior component, where a row has 1.
            prior: the prior component.
        """
        self._dimensions, self._rows, self._bandwidths = dimensions, rows, bandwidths
        own = np.ones(len(rows)) if weights is None else weights
        every = np.append(own, prior_weight)
        self._weights = every / every.sum()
        self._prior = prior

    def log_density(self, candidates: Floats) -> Floats:
        """Return the log density at candidates, shape (m, d), relative to the uniform one, shape (m,)."""
        from scipy.special import logsumexp

        table = np.zeros((len(candidates), len(self._rows) + 1))
        for j in range(len(self._dimensions)):
            there = np.flatnonzero(~np.isnan(self._rows[:, j]))
            asked = np.flatnonzero(~np.isnan(candidates[:, j]))
            if len(there) and len(asked):
                table[np.ix_(asked, there)] += self._along(j, candidates[asked, j], there)
        table[:, -1] = self._prior.log_density(candidates)
        with np.errstate(divide="ignore"):
            found: Floats = logsumexp(table + np.log(self._weights), axis=1)
        return found

    def sample(self, count: int, rng: np.random.Generator, widening: float = 1.0) -> Floats:
        """Return rows drawn from the mixture with bandwidths of numbers times `widening`, shape (count, d).

        Inactive parameters of a row are drawn from the prior: the candidate may need them.
        """
        d = len(self._dimensions)
        which = np.searchsorted(np.cumsum(self._weights), rng.random(count), side="right")
        found = self._prior.transform(rng.random((count, d)))
        u, kept = rng.random((count, d)), rng.random((count, d))
        for j in range(d):
            own = np.flatnonzero(which < len(self._rows))
            own = own[~np.isnan(self._rows[which[own], j])]
            centres, widths = self._rows[which[own], j], self._bandwidths[which[own], j]
            if self._dimensions.categories[j]:
                level = self._dimensions.levels[j]
                other = (np.floor(u[own, j] * level) + 0.5) / level
                # a uniform draw among all values hits the own one in 1 of k: widths w are of the others alone
                stays = kept[own, j] >= widths * level / max(level - 1, 1)
                found[own, j] = np.where(stays, centres, other)
            else:
                found[own, j] = draw(u[own, j], centres, np.minimum(widening * widths, 2.0))
        return found

    def _along(self, j: int, values: Floats, there: NDArray[np.intp]) -> Floats:
        """Return the log kernels of rows `there` in dimension j at `values`, relative to uniform."""
        centres, widths = self._rows[there, j], self._bandwidths[there, j]
        levels = self._dimensions.levels[j]
        if self._dimensions.categories[j]:
            same = values[:, None] == centres[None, :]
            with np.errstate(divide="ignore"):
                others = np.log(widths / max(levels - 1, 1))
            ratio: Floats = np.where(same, np.log1p(-widths), others) + math.log(levels)
            return ratio
        if not levels:
            return log_density(values[:, None], centres, widths)
        cells, place = np.unique(values, return_inverse=True)
        half = 0.5 / levels
        low = (np.maximum(cells - half, 0.0)[:, None] - centres) / widths
        high = (np.minimum(cells + half, 1.0)[:, None] - centres) / widths
        # a cell on a log scale is wider or narrower than 1 / levels: what counts is the ratio of two densities
        share = np.minimum(cells + half, 1.0) - np.maximum(cells - half, 0.0)
        masses = log_mass(low, high) - log_mass(-centres / widths, (1.0 - centres) / widths)
        found: Floats = (masses - np.log(share)[:, None])[place.reshape(-1)]
        return found


def reference_bandwidths(dimensions: Dimensions, rows: Floats) -> Floats:
    """Return bandwidths by Silverman's rule for numbers and by leaving one out for categories, shape (n, d).

    h = 1.06 min(deviation, IQR / 1.349) n^(-1 / (4 + d)), at least 0.05 below 20 rows, 0.02 from there on, and half a
    cell, at most 0.5.
    """
    n, d = rows.shape
    found = np.empty((n, d))
    floor = 0.05 if n < 20 else 0.02
    for j in range(d):
        column = rows[~np.isnan(rows[:, j]), j]
        if dimensions.categories[j]:
            found[:, j] = category_weight(column, dimensions.levels[j])
            continue
        deviation = float(column.std()) if len(column) else GREATEST_BANDWIDTH
        middle = float(np.subtract(*np.quantile(column, (0.75, 0.25)))) / 1.349 if len(column) else 0.0
        spread = min(deviation, middle) if middle > 0.0 else deviation
        h = 1.06 * spread * max(len(column), 1) ** (-1.0 / (4 + d))
        least = max(floor, 0.5 / dimensions.levels[j] if dimensions.levels[j] else 0.0)
        found[:, j] = min(max(h, least), GREATEST_BANDWIDTH)
    return found


def category_weight(values: Floats, levels: int) -> float:
    """Return the weight of a category's other values under which each value is likeliest, given the rest.

    From 0.05 to 0.9 (k - 1) / k with k levels in the space; the greatest where there are less than two values.
    """
    most = 0.9 * (levels - 1) / levels
    grid = np.linspace(min(LEAST_WEIGHT, most), most, 24)
    n = len(values)
    if n < 2:
        return float(grid[-1])
    _, counts = np.unique(values, return_counts=True)
    same, others = (counts[:, None] - 1) / (n - 1), (n - counts[:, None]) / (n - 1)
    likelihood = (counts[:, None] * np.log(same * (1 - grid) + others * grid / (levels - 1))).sum(axis=0)
    return float(grid[int(np.argmax(np.round(likelihood, 9)))])


def neighbour_bandwidths(dimensions: Dimensions, rows: Floats, prior_weight: float = 1.0) -> Floats:
    """Return the bandwidths of TPE's Parzen estimator, shape (n, d).

    The greater distance to a neighbour in the dimension, within [1 / min(100, 1 + kernels), 1]; a row at the end has
    one neighbour; the prior component, in the middle, is one of them. Of a category:
    (1{same} + a) / (1 + k a) with a = prior weight / kernels.
    """
    n, d = rows.shape
    kernels = n + 1
    found = np.empty((n, d))
    for j in range(d):
        if dimensions.categories[j]:
            levels = dimensions.levels[j]
            share = prior_weight / kernels
            found[:, j] = share * (levels - 1) / (1.0 + levels * share)
            continue
        active = np.flatnonzero(~np.isnan(rows[:, j]))
        column = np.append(rows[active, j], 0.5)
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order])
        far = np.maximum(np.append(0.0, gaps), np.append(gaps, 0.0))
        widths = np.empty(len(column))
        widths[order] = far
        found[:, j] = 1.0
        found[active, j] = np.clip(widths[:-1], 1.0 / min(100.0, 1.0 + kernels), 1.0)
    return found


def old_ones_less(n: int, newest: int = 25) -> Floats:
    """Return weights of n rows, oldest first: 1 for the newest 25, a ramp from 1 / n to 1 for those before."""
    if n <= newest:
        return np.ones(n)
    return np.concatenate([np.linspace(1.0 / n, 1.0, n - newest), np.ones(newest)])
