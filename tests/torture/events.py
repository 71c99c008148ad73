"""What befalls a store now and then, one thing after another: each begins, lasts for a while, and ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that makes a store worse for some seconds."""

    name: str
    lasts_s: float
    begin: Callable[[], None]
    end: Callable[[], None]


@dataclass(frozen=True)
class Past:
    """An event that took place, on the wall clock."""

    name: str
    began_at: float
    ended_at: float

    def overlap(self, since: float, until: float) -> float:
        """Return how much of the time between the two it took, seconds."""
        return max(0.0, min(self.ended_at, until) - max(self.began_at, since))


class Calendar:
    """Lets the events happen in turn, again and again, with rests between them."""

    def __init__(self, events: Sequence[Event], rest_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.past: list[Past] = []
        self._events = events
        self._rest_s = rest_s
        self._begun = 0
        self._now: Event | None = None
        self._began_at = 0.0
        self._due = time.monotonic() + rest_s

    def turn(self) -> None:
        """Begin or end what is due."""
        if not self._events or time.monotonic() < self._due:
            return
        if self._now is not None:
            self.finish()
            return
        self._now = event = self._events[self._begun % len(self._events)]
        self._begun += 1
        self.counts[event.name] += 1
        self._began_at = time.time()
        event.begin()
        self._due = time.monotonic() + event.lasts_s

    def finish(self) -> None:
        """End what is going on, and rest."""
        event, self._now = self._now, None
        if event is not None:
            event.end()
            self.past.append(Past(event.name, self._began_at, time.time()))
        self._due = time.monotonic() + self._rest_s
