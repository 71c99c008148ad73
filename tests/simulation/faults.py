"""What can go wrong with one call of the store, and how often it does."""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping


class Fault(enum.StrEnum):
    """One misfortune of one call."""

    CRASH_BEFORE = "crash before"
    """The process dies; the request was never sent."""
    CRASH_AFTER = "crash after"
    """The request lands, and the process dies before the answer comes."""
    LOST_REQUEST = "lost request"
    LOST_ANSWER = "lost answer"
    LATE = "late"
    """No answer; the request lands seconds to minutes later, whether or not its author lives."""
    SENT_TWICE = "sent twice"
    """A layer below sends again what had landed: `exists` for one's own create, an old write over a newer one."""
    SLOW_DOWN = "503"
    DENIED = "denied"
    TRUNCATED = "truncated"
    STALE = "stale"
    """An older version of a replaced object."""
    SHORT = "short listing"
    """Some keys are missing."""
    OLD_TIMES = "old times"
    """A listing shows older modified times."""
    PAUSE = "pause"
    """The process stands still between the landing and the answer."""
    SLOW = "slow"


_ALL = (
    Fault.CRASH_BEFORE,
    Fault.CRASH_AFTER,
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.SLOW_DOWN,
    Fault.DENIED,
    Fault.PAUSE,
    Fault.SLOW,
)
APPLY: dict[str, tuple[Fault, ...]] = {
    "create": (*_ALL, Fault.LATE, Fault.SENT_TWICE),
    "replace": (*_ALL, Fault.LATE, Fault.SENT_TWICE),
    "delete": (*_ALL, Fault.LATE),
    "get": (*_ALL, Fault.TRUNCATED, Fault.STALE),
    "list": (*_ALL, Fault.SHORT, Fault.OLD_TIMES),
}
"""Verb to the faults that it may meet."""


class Dice:
    """Draws a fault, or none, for each call."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        """Take rates by the names of faults: of how many calls each befalls one."""
        self._tables = {
            verb: [(fault, rates[fault]) for fault in faults if rates.get(fault, 0.0) > 0.0]
            for verb, faults in APPLY.items()
        }
        self._total = {verb: sum(rate for _, rate in table) for verb, table in self._tables.items()}

    def draw(self, verb: str, rng: random.Random) -> Fault | None:
        """Return the fault that befalls a call of `verb`."""
        if not self._total[verb]:
            return None
        roll = rng.random()
        if roll >= self._total[verb]:
            return None
        for fault, rate in self._tables[verb]:
            if roll < rate:
                return fault
            roll -= rate
        return None
