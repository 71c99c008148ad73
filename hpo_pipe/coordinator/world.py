"""All that a coordinator touches outside itself, injected: a simulation puts its own store, clock and chance here."""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from storage_schema.clock import Clock, SystemClock
from storage_schema.keys import SpecId, checked_worker
from storage_schema.store import Store

Say = Callable[[str], object]

Gather = Callable[[Callable[[SpecId], bool], Iterable[SpecId]], list[bool]]
"""Runs independent reads; in order, or at once where a request takes long."""

MOST_PAUSE_S = 5.0
"""Between two tries while the store is away: short beside a lease, or the first tick after an outage would be one that
was itself paused, and judges nobody."""


def in_order(read: Callable[[SpecId], bool], specs: Iterable[SpecId]) -> list[bool]:
    """Run reads one after another."""
    return [read(spec) for spec in specs]


def drawn_token(rng: random.Random) -> str:
    """Return sixteen random hexadecimal digits: no two authors write equal bytes (PROTOCOL.md, 6.1)."""
    return f"{rng.getrandbits(64):016x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The outside of one coordinator process."""

    store: Store
    say: Say
    """Takes one line of talk for stderr."""
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.SystemRandom)
    """Tokens and jitter, which only have to differ between processes; no decision rests on it."""
    gather: Gather = in_order
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def name(self) -> str:
        """Return a new coordinator id."""
        host = re.sub(r"[^a-z0-9]+", "-", self.host.lower()).strip("-")[:30] or "host"
        return checked_worker(f"c-{host}-{self.rng.getrandbits(32):08x}")
