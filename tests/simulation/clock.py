"""The clocks of a simulated process: wrong by an hour, drifting, jumping; the monotonic one never goes back."""

from __future__ import annotations

import threading

from tests.simulation.hub import Process

EPOCH_S = 1_700_000_000.0
"""What the store's clock shows at virtual time 0."""


class ProcessClock:
    """See :class:`storage_schema.clock.Clock`; the time is the hub's, seen through this process's bad clocks."""

    def __init__(self, process: Process, *, origin: float, rate: float, ahead_s: float, drift: float) -> None:
        """Set the clocks: `origin` and `rate` of the monotonic one, `ahead_s` and `drift` of the wall clock."""
        self._process = process
        self._origin = origin
        self._rate = rate
        self._ahead_s = ahead_s
        self._drift = drift

    def now(self) -> float:
        """Return this machine's idea of the time."""
        self._process.check()
        return EPOCH_S + self._process.hub.now * (1.0 + self._drift) + self._ahead_s

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        if not self._process.alive:
            self._process.check()
        return self._origin + self._process.hub.now * self._rate

    def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        self._process.block(max(0.0, seconds) / self._rate)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait in virtual time until `event` is set."""
        self._process.wait(event, max(0.0, timeout_s) / self._rate)
        return event.is_set()

    def set_wall(self, ahead_s: float) -> None:
        """Somebody sets the wall clock."""
        self._ahead_s = ahead_s

    def jump(self, seconds: float) -> None:
        """Let the monotonic clock leap forward, as after a suspension."""
        self._origin += seconds
