"""A random forest for regression, grown level by level in all trees at once (Breiman 2001; as used by SMAC).

Columns are cut into at most 32 bins, so that a level is a few histograms. Numbers are split between two bins,
categories into one value and the rest; an inactive parameter is a bin before all others. A prediction has the mean
and the variance of a mixture of the leaves it falls into: the law of total variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.dimensions import Dimensions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TREES = 10
FEATURES = 5.0 / 6.0
"""Share of the columns that each split looks at."""
LEAST_SPLIT, LEAST_LEAF = 3, 3
MAX_BINS = 32
MAX_DEPTH = 64
_TOO_LITTLE = 1e-12


@dataclass(frozen=True, slots=True)
class _Binning:
    """From values of a column to bins; 0: inactive."""

    edges: Floats
    """Of a number: upper edges of all bins but the last. Of a category: its values."""
    category: bool

    @classmethod
    def of(cls, column: Floats, category: bool) -> _Binning:
        values = np.unique(column[~np.isnan(column)])
        if category:
            return cls(values, True)
        if len(values) > MAX_BINS:
            values = np.unique(np.quantile(column[~np.isnan(column)], np.linspace(0.0, 1.0, MAX_BINS)))
        return cls((values[1:] + values[:-1]) / 2.0, False)

    @property
    def count(self) -> int:
        return len(self.edges) + 2

    def bins(self, column: Floats) -> Integers:
        """Return each value's bin; a category that was never seen is in the last one, alone."""
        off = np.isnan(column)
        place = np.searchsorted(self.edges, np.where(off, 0.0, column))
        if self.category:
            known = np.minimum(place, max(len(self.edges) - 1, 0))
            hit = self.edges[known] == column if len(self.edges) else np.zeros(len(column), dtype=bool)
            place = np.where(hit, known, len(self.edges))
        return np.where(off, 0, place + 1).astype(np.int64)


class RandomForest:
    """Fitted trees, all in the same arrays of nodes."""

    def __init__(
        self,
        dimensions: Dimensions,
        rows: Floats,
        values: Floats,
        rng: np.random.Generator,
        trees: int = TREES,
    ) -> None:
        """Grow trees on bootstrap samples.

        Args:
            dimensions: of the space.
            rows: shape (n, d); NaN: inactive.
            values: shape (n,), finite.
            rng: for bootstrap samples and the columns that splits look at.
            trees: how many.
        """
        n = len(rows)
        self._binnings = [
            _Binning.of(rows[:, j], category) for j, category in enumerate(dimensions.categories)
        ]
        self._trees = trees
        drawn = rng.integers(0, n, (trees, n)).reshape(-1)
        self._bins = self._binned(rows)[drawn]
        self._values = values[drawn]
        self._nodes: list[tuple[Integers, Integers, Integers]] = []
        self._leaves: list[tuple[Floats, Floats]] = []
        self._grow(np.repeat(np.arange(trees), n), rng)
        self._feature, self._bin, self._child = (
            np.concatenate([level[part] for level in self._nodes]) for part in range(3)
        )
        self._mean, self._variance = (
            np.concatenate([level[part] for level in self._leaves]) for part in range(2)
        )
        self._category = np.array([*dimensions.categories, False])
        del self._bins, self._values, self._nodes, self._leaves

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation at `rows`, each shape (m,)."""
        bins = self._binned(rows)
        node = np.tile(np.arange(self._trees)[:, None], (1, len(rows)))
        which = np.broadcast_to(np.arange(len(rows)), node.shape)
        while True:
            feature = self._feature[node]
            inner = feature >= 0
            if not inner.any():
                break
            own = bins[which, np.maximum(feature, 0)]
            cut = self._bin[node]
            right = np.where(self._category[feature], own != cut, own > cut)
            node = np.where(inner, self._child[node] + right, node)
        means, variances = self._mean[node], self._variance[node]
        total = variances.mean(axis=0) + means.var(axis=0)
        return means.mean(axis=0), np.sqrt(np.maximum(total, 1e-10))

    def _binned(self, rows: Floats) -> Integers:
        return np.stack([b.bins(rows[:, j]) for j, b in enumerate(self._binnings)], axis=1)

    def _grow(self, node: Integers, rng: np.random.Generator) -> None:
        """Split all nodes of a level, then those of the next; `node` is each sample's in its level, -1 in a leaf."""
        first, count = 0, self._trees
        for depth in range(MAX_DEPTH + 1):
            inside = np.flatnonzero(node >= 0)
            own, values = node[inside], self._values[inside]
            sizes = np.bincount(own, minlength=count).astype(np.float64)
            sums = np.bincount(own, values, count).astype(np.float64)
            squares = np.bincount(own, values * values, count)
            means = sums / np.maximum(sizes, 1.0)
            spread = np.maximum(squares / np.maximum(sizes, 1.0) - means**2, 0.0)
            self._leaves.append((means, spread))
            feature, cut, gain = self._splits(inside, own, sizes, sums, rng)
            split = (gain > _TOO_LITTLE) & (sizes >= LEAST_SPLIT) & (depth < MAX_DEPTH)
            order = np.cumsum(split) - 1
            feature = np.where(split, feature, -1)
            self._nodes.append((feature, cut, np.where(split, first + count + 2 * order, 0)))
            if not split.any():
                return
            asked = feature[own]
            bins = self._bins[inside, np.maximum(asked, 0)]
            categories = np.array([binning.category for binning in self._binnings])[np.maximum(asked, 0)]
            right = np.where(categories, bins != cut[own], bins > cut[own])
            node = np.full_like(node, -1)
            node[inside] = np.where(asked >= 0, 2 * order[own] + right, -1)
            first, count = first + count, 2 * int(split.sum())

    def _splits(
        self, inside: NDArray[np.intp], own: Integers, sizes: Floats, sums: Floats, rng: np.random.Generator
    ) -> tuple[Integers, Integers, Floats]:
        """Return the best split of each node: column, bin, and by how much it lowers the sum of squares."""
        count, d = len(sizes), len(self._binnings)
        values = self._values[inside]
        draws = rng.random((count, d))
        looked = draws < FEATURES
        looked[np.arange(count), np.argmin(draws, axis=1)] = True
        best = np.zeros(count)
        feature, cut = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        before = sums * sums / np.maximum(sizes, 1.0)
        for j, binning in enumerate(self._binnings):
            width = binning.count
            place = own * width + self._bins[inside, j]
            left = np.bincount(place, minlength=count * width).reshape(count, width).astype(np.float64)
            total = np.bincount(place, values, count * width).reshape(count, width)
            if not binning.category:
                left, total = np.cumsum(left, axis=1), np.cumsum(total, axis=1)
            right = sizes[:, None] - left
            allowed = (left >= LEAST_LEAF) & (right >= LEAST_LEAF) & looked[:, j, None]
            rest = sums[:, None] - total
            gain = total**2 / np.maximum(left, 1.0) + rest**2 / np.maximum(right, 1.0) - before[:, None]
            gain = np.where(allowed, gain, 0.0)
            place = np.argmax(gain, axis=1)
            found = gain[np.arange(count), place]
            better = found > best * (1 + 1e-9)
            best = np.where(better, found, best)
            feature, cut = np.where(better, j, feature), np.where(better, place, cut)
        return feature, cut, best
