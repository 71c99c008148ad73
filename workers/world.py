"""All that the worker touches outside itself, injected: a simulation puts its own store, clock and threads here."""

from __future__ import annotations

import random
import secrets
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from storage_schema.clock import Clock, SystemClock
from storage_schema.store import Store
from storage_schema.terminal import printable
from storage_schema.waiting import Patience

REPEAT_WAITING_S = 30.0
"""All threads of a worker together say that the store is away once in so long."""

MOST_PAUSE_S = 5.0
"""Between two tries of a write: short beside a lease, so that a lost attempt is noticed."""


class Spawn(Protocol):
    """Starts a thread; the only way that the worker gets one."""

    def __call__(self, target: Callable[[], None], name: str) -> object:
        """Run `target` in a thread called `name`."""
        ...


def spawn_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a real thread; it never keeps the process alive."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def say_on_stderr(line: str) -> None:
    """Print one line of talk."""
    print(f"hpo-pipe worker: {printable(line)}", file=sys.stderr, flush=True)


@dataclass(slots=True, kw_only=True)
class World:
    """The outside."""

    store: Store
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.SystemRandom)
    spawn: Spawn = spawn_thread
    say: Callable[[str], None] = say_on_stderr
    token: Callable[[], str] = lambda: secrets.token_hex(8)
    """Sixteen random hexadecimal digits."""
    _said_waiting: float | None = None

    def waiting(self, line: str) -> None:
        """Say that the store is away, unless that was said just now."""
        now = self.clock.monotonic()
        if self._said_waiting is None or now - self._said_waiting >= REPEAT_WAITING_S:
            self._said_waiting = now
            self.say(line)

    def patience(self, give_up: Callable[[], bool], limit_s: float | None = None) -> Patience:
        """Return a new way of waiting for the store that ends when `give_up` answers True."""
        return Patience(
            self.clock, self.rng, say=self.waiting, give_up=give_up, most_s=MOST_PAUSE_S, limit_s=limit_s
        )
