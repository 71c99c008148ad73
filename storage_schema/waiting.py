"""Waiting out a store: exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from storage_schema.clock import Clock
from storage_schema.errors import StoreUnavailable

T = TypeVar("T")

ANNOUNCE_AFTER_S = 1.0
"""Shorter outages are nobody's concern."""

_MAX_EXPONENT = 30


class GaveUp(StoreUnavailable):
    """The wait for the store was cut short. What was being written may still land."""


class Patience:
    """How one activity waits for its store. Use one per thread and activity.

    Args:
        clock: to sleep by.
        rng: full jitter is drawn from it.
        say: called once per outage with ``waiting: <reason>``.
        give_up: asked before each wait; True ends the waiting with :class:`GaveUp`.
        first_s: the greatest first wait; doubled with each failure.
        most_s: the greatest wait.
        limit_s: the longest outage that is waited out; None for any.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        say: Callable[[str], object] = lambda _: None,
        give_up: Callable[[], bool] = lambda: False,
        first_s: float = 0.1,
        most_s: float = 15.0,
        limit_s: float | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._say = say
        self._give_up = give_up
        self._first_s = first_s
        self._most_s = most_s
        self._limit_s = limit_s
        self._since: float | None = None
        self._announced = False

    def __call__(self, failed: int, reason: str) -> None:
        """Wait before the next try of :func:`~storage_schema.store.settle.create_settled`; `failed` counts from 1."""
        if failed == 1:
            self._over()
        self.wait(failed, reason)

    def through(self, action: Callable[[], T]) -> T:
        """Return ``action()``, tried until it raises StoreUnavailable no more.

        Raises:
            GaveUp: `give_up` said so, or `limit_s` has passed.
        """
        self._over()
        failed = 0
        while True:
            try:
                return action()
            except StoreUnavailable as error:
                failed += 1
                self.wait(failed, str(error))

    def wait(self, failed: int, reason: str) -> None:
        """Sleep before try number ``failed + 1``, or raise GaveUp."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        outage_s = now - self._since
        if self._give_up() or (self._limit_s is not None and outage_s >= self._limit_s):
            raise GaveUp(reason)
        if outage_s >= ANNOUNCE_AFTER_S and not self._announced:
            self._announced = True
            self._say(f"waiting: {reason}")
        self._clock.sleep(self.pause_s(failed))

    def pause_s(self, failed: int) -> float:
        """Draw the wait after `failed` failures in a row, seconds."""
        ceiling = min(self._most_s, self._first_s * 2.0 ** min(failed - 1, _MAX_EXPONENT))
        return self._rng.uniform(0.0, ceiling)

    def _over(self) -> None:
        self._since = None
        self._announced = False
