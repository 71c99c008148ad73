"""The shape of a search space, as models see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Of d free parameters."""

    levels: tuple[int, ...]
    """How many values each has; 0: continuous."""
    categories: tuple[bool, ...]
    """Which have values without an order."""

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def steps(self) -> NDArray[np.float64]:
        """The width of one value's cell in the unit interval, shape (d,); 0: continuous."""
        return np.array([1.0 / count if count else 0.0 for count in self.levels])

    @property
    def unordered(self) -> NDArray[np.bool_]:
        """`categories` as an array, shape (d,)."""
        return np.array(self.categories, dtype=bool)
