"""Time and waiting, injected everywhere, so that a simulation can drive the real code with a virtual clock.

This is the one file of the product that sleeps.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What product code may know of time."""

    def now(self) -> float:
        """Return seconds since the epoch; for people only, no decision rests on it."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump back and that count a suspended machine's sleep too."""
        ...

    def sleep(self, seconds: float) -> None:
        """Do nothing for so long."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; tell whether it is set."""
        ...


class SystemClock:
    """This machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return CLOCK_BOOTTIME where there is one: CLOCK_MONOTONIC stands still while a machine is suspended."""
        if _BOOTTIME is None:
            return time.monotonic()
        return time.clock_gettime(_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Do nothing for so long."""
        time.sleep(max(0.0, seconds))

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; tell whether it is set."""
        return event.wait(max(0.0, timeout_s))


_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
