"""Signals and notices: stop claiming, let trials save, give back, exit 75 (PROTOCOL.md, 5.9)."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from types import FrameType

from storage_schema.clock import Clock

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
NOTICE = signal.SIGUSR2
"""From who passes on what it heard, like a notice: the machine's own signal, before or after it, makes no hurry."""

CLOSE_LIMIT_S = 5.0
"""On top of a trial's grace, where nobody knows how long the machine lives: how long a closing link is tried."""

MOST_CLOSING_S = 30.0
"""Of the machine's time: kept for what comes after a trial's end, uploading above all; at most a third of it."""

MOST_LAST_S = 5.0
"""Of the machine's time: kept for giving back what is still held, with whatever was uploaded; at most a sixth."""


class Interruption:
    """Whether, why and how urgently this worker has to go. Set by signals and notices; read by all threads.

    Args:
        clock: the worker's.
        grace_s: how long this machine lets a process live after the first signal; None: nobody knows.
    """

    def __init__(self, clock: Clock, grace_s: float | None = None) -> None:
        self._clock = clock
        self._grace_s = math.inf if grace_s is None else grace_s
        self.count = 0
        """0: go on. 1: end in good order. 2 or more: hurry."""
        self.reason = ""
        self.since = 0.0
        """Own monotonic clock."""
        self.deadline = math.inf
        """Own monotonic clock: when the machine takes this process away, as far as that is known."""
        self.caught: list[int] = []
        """The signals that came, in their order."""
        self.draining = ""
        """Why nothing more is to be claimed, though what runs may finish; empty: go on."""
        self.saves = 0
        """How often the trials were wished to save a checkpoint and go on."""
        self._only_noticed = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def hurry(self) -> bool:
        """Whether a second request came: no more grace."""
        return self.count > 1

    def request(self, reason: str) -> None:
        """Ask this worker to end, as a signal does. No locks: it is called from signal handlers."""
        self._shorten(self._clock.monotonic() + self._grace_s)
        if self._only_noticed:  # the provider's own signal after its notice
            self._only_noticed = False
            return
        self._begin(reason)
        self.count += 1

    def notice(self, reason: str, left_s: float = math.inf) -> None:
        """Ask this worker to end within `left_s` seconds. A signal that follows is the first one: it makes no hurry."""
        self._shorten(self._clock.monotonic() + left_s)
        if self.count == 0:
            self._begin(reason)
            self._only_noticed = True
            self.count = 1

    def lasted_s(self) -> float:
        """Return the seconds since the first request; 0 before."""
        return self._clock.monotonic() - self.since if self.count else 0.0

    def trial_until(self, asked_at: float, grace_s: float) -> float:
        """Return when a trial is killed that was asked to save at `asked_at`, and that the study gives `grace_s`."""
        if self.hurry:
            return asked_at
        return min(asked_at + grace_s, self.deadline - min(MOST_CLOSING_S, self._allowed_s() / 3))

    def closing_over(self, grace_s: float) -> bool:
        """Tell whether a store that is away is no more waited for; `grace_s` is the study's."""
        if self.deadline < math.inf and not self.hurry:
            return self.overdue()
        return self.lasted_s() > (0.0 if self.hurry else grace_s) + CLOSE_LIMIT_S

    def overdue(self) -> bool:
        """Tell whether the machine is about to go: what is still held is given back as it is."""
        if not self.count or self.deadline == math.inf:
            return False
        return self._clock.monotonic() >= self.deadline - min(MOST_LAST_S, self._allowed_s() / 6)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` in each :meth:`spread`, until :meth:`leave`."""
        self._listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        """Call it no more. One that does not listen is nothing."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def spread(self) -> None:
        """Let the trials be told, also where the threads that look after them are busy with an upload."""
        for listener in list(self._listeners):
            listener()

    def install(self) -> None:
        """Catch the signals; the third one kills this process as if nothing caught it. Main thread only."""
        for number in SIGNALS:
            signal.signal(number, self._caught)
        signal.signal(NOTICE, self._noticed)
        # Process 1 of a container starts with one of them blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _begin(self, reason: str) -> None:
        if self.count == 0:
            self.since = self._clock.monotonic()
            self.reason = reason

    def _shorten(self, deadline: float) -> None:
        self.deadline = min(self.deadline, deadline)

    def _allowed_s(self) -> float:
        return max(0.0, self.deadline - self.since)

    def _noticed(self, number: int, frame: FrameType | None) -> None:
        self.notice(signal.Signals(number).name, self._grace_s)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.count >= 2:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.caught.append(number)
        self.request(signal.Signals(number).name)
