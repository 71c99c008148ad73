"""An axis: where a number lies on it, and which numbers are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, on a line from 0 to 1."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, low: float, high: float, log: bool = False) -> Axis:
        """Return an axis that holds both, also where they are equal."""
        if log:
            low = max(low, 1e-12)
            return cls(low / 1.1, max(high, 1.5 * low) * 1.1, True)
        room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
        return cls(low - room, high + room)

    def places(self, values: Floats) -> Floats:
        """Return where values lie, NaN for those that are not finite."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = (np.log(values) if self.log else values) - low
        return np.where(np.isfinite(found), found / (high - low), np.nan)

    def ticks(self, most: int = 6) -> tuple[float, ...]:
        """Return round numbers on the axis, at most about so many."""
        if self.log and self.high > 4 * self.low:
            return self._log_ticks(most)
        raw = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * nice for nice in _NICE if size * nice >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return tuple(round(n * step, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1))

    def _log_ticks(self, most: int) -> tuple[float, ...]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [f * 10.0**p for p in powers for f in factors if self.low <= f * 10.0**p <= self.high]
            if len(found) <= most:
                return tuple(found)
        return tuple(found[:: -(-len(found) // most)])
