"""When a worker starts a coordinator tick of its own: a study can run with no coordinator process at all."""

from __future__ import annotations

import random

from storage_schema.records import Timing

TICKS = 3
"""A board that did not change for so many ticks of a coordinator is probably nobody's."""
ALONE_SHARE = 0.1
"""Of a tick: how soon it is called for where the last one that was started brought work."""
LEAST_S = 0.5


class Staleness:
    """Decides when to start a tick, from what the earlier ones brought."""

    def __init__(self, timing: Timing, rng: random.Random, now: float) -> None:
        self._timing = timing
        self._rng = rng
        self._fruitless = 0
        self._alone = False
        self._since = now
        self._limit_s = self._draw(alone=False)
        self._first_s = LEAST_S * rng.uniform(1.0, 2.0)

    def fruitful(self, now: float) -> None:
        """Take note that there is something to claim."""
        if self._fruitless:
            self._alone = True
        self._fruitless = 0
        self._since = now
        self._limit_s = self._draw(alone=self._alone)

    def due(self, now: float, unchanged_s: float, *, never: bool = False) -> bool:
        """Tell whether to start a tick now.

        Args:
            now: own monotonic clock, seconds.
            unchanged_s: for how long the board has been the same while nothing could be claimed.
            never: there has never been a board; the first tick then need not wait for several of a coordinator's.
        """
        limit_s = self._first_s if never and not self._fruitless else self._limit_s
        if min(unchanged_s, now - self._since) < limit_s:
            return False
        self._since = now
        self._fruitless += 1
        if self._fruitless > 1:
            self._alone = False
        self._limit_s = self._draw(alone=False)
        return True

    def _draw(self, *, alone: bool) -> float:
        """Draw a limit, so that not all workers start one at once; longer after each tick that brought nothing."""
        tick_s = self._timing.tick_s
        limit_s = ALONE_SHARE * tick_s if alone else TICKS * tick_s
        longest = max(limit_s, 2 * self._timing.flush_s)
        limit_s = min(longest, limit_s * 2.0 ** min(self._fruitless, 20))
        return max(LEAST_S, limit_s) * self._rng.uniform(1.0, 2.0)
