"""SIGTERM, SIGUSR1, SIGINT: stop claiming, let trials save, give back, exit 75 (PROTOCOL.md, 5.9)."""

from __future__ import annotations

import os
import signal
from types import FrameType

from storage_schema.clock import Clock

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interruption:
    """Whether, why and how urgently this worker has to go. Set by signals; read by all threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.count = 0
        """0: go on. 1: end in good order. 2 or more: hurry."""
        self.reason = ""
        self.since = 0.0
        """Own monotonic clock."""
        self.keyboard = 0
        """How many of them came from Ctrl-C."""

    @property
    def hurry(self) -> bool:
        """Whether a second request came: no more grace."""
        return self.count > 1

    def request(self, reason: str) -> None:
        """Ask this worker to end. No locks: it is called from signal handlers."""
        if self.count == 0:
            self.since = self._clock.monotonic()
            self.reason = reason
        self.count += 1

    def lasted_s(self) -> float:
        """Return the seconds since the first request; 0 before."""
        return self._clock.monotonic() - self.since if self.count else 0.0

    def install(self) -> None:
        """Catch the signals; the third one kills this process as if nothing caught it. Main thread only."""
        for number in SIGNALS:
            signal.signal(number, self._caught)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.count >= 2:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.keyboard += number == signal.SIGINT
        self.request(signal.Signals(number).name)
