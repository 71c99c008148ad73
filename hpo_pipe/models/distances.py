"""Distances between rows of the unit cube, for kernels: numbers by difference, categories by equality.

A parameter that is inactive is NaN. It is imputed with the middle of its range, and a coordinate of its own says
whether it is active, so that two rows that differ in that are about one range apart and two that are both inactive
are not apart at all. All of it is Euclidean, so a Matern kernel of it is positive definite (the arc kernel's idea,
Swersky et al. 2014, arXiv:1409.4011).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MIDDLE = 0.5
_NUMBER_ACTIVE = 1.0 - 0.25 / 2
"""Squared distance between active and inactive: with the imputed middle, from 0.875 to 1.125."""
_CATEGORY_ACTIVE = 1.0


@dataclass(frozen=True, slots=True)
class Distances:
    """Squared distances along each of d dimensions."""

    categories: tuple[bool, ...]
    """Of each dimension: whether its values have no order."""

    @classmethod
    def of(cls, kinds: Sequence[str]) -> Distances:
        """Return those of dimensions that are each a ``number``, ``ordered`` or a ``category``."""
        return cls(tuple(kind == "category" for kind in kinds))

    def each(self, rows: Floats) -> Floats:
        """Return the squared distances of all rows along each dimension, shape (d, n, n)."""
        parts = np.empty((len(self.categories), len(rows), len(rows)))
        for j, category in enumerate(self.categories):
            column = rows[:, j]
            off = np.isnan(column)
            if category:
                parts[j] = _unequal(column, column)
            else:
                filled = np.where(off, _MIDDLE, column)
                parts[j] = np.square(filled[:, None] - filled[None, :])
                if off.any():
                    parts[j] += _NUMBER_ACTIVE * (off[:, None] != off[None, :])
        return parts

    def scaled(self, a: Floats, b: Floats, lengthscales: Floats) -> Floats:
        """Return the sums over dimensions of squared distance by squared length-scale, shape (n, m).

        Args:
            a: shape (n, d).
            b: shape (m, d).
            lengthscales: shape (d,), positive.
        """
        left, right = self._columns(a, lengthscales), self._columns(b, lengthscales)
        found = left @ right.T
        found *= -2.0
        found += np.einsum("ij,ij->i", left, left)[:, None]
        found += np.einsum("ij,ij->i", right, right)[None, :]
        np.maximum(found, 0.0, out=found)
        for j, category in enumerate(self.categories):
            if category:
                found += _unequal(a[:, j], b[:, j]) / lengthscales[j] ** 2
        return found

    def _columns(self, rows: Floats, lengthscales: Floats) -> Floats:
        numbers = [j for j, category in enumerate(self.categories) if not category]
        places = rows[:, numbers]
        off = np.isnan(places)
        places = np.where(off, _MIDDLE, places) - _MIDDLE  # centred: less is lost where squares cancel
        scale = lengthscales[numbers]
        activity = off * math.sqrt(_NUMBER_ACTIVE)
        return np.hstack([places / scale, activity / scale])


def _unequal(a: Floats, b: Floats) -> Floats:
    """Return 1 where two categories differ; an inactive one differs from all but another."""
    left, right = np.where(np.isnan(a), -1.0, a), np.where(np.isnan(b), -1.0, b)
    found: Floats = _CATEGORY_ACTIVE * (left[:, None] != right[None, :])
    return found
