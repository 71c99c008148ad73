"""A herd of coordinators and workers, a keeper that starts again what died, and a monkey that kills and freezes."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.fleet import Fleet

AWAY, AWAY_S = 69, 1.0
"""The store is away at a worker's start: a keeper starts it again after a while."""


@dataclass
class Life:
    """What happened to one process, on the wall clock."""

    name: str
    role: str
    slot: int
    started_at: float
    frozen: list[tuple[float, float]] = field(default_factory=list)
    """From and to; to is infinity while it lasts."""
    signals: list[str] = field(default_factory=list)
    ended_at: float | None = None
    code: int | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still now."""
        return bool(self.frozen) and self.frozen[-1][1] == float("inf")

    @property
    def runs(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.code is None and not self.is_frozen

    def was_away(self, since: float, until: float) -> bool:
        """Tell whether it was dead at `until`, or stood still at some time between the two."""
        dead = self.ended_at is not None and self.ended_at <= until
        return dead or any(begin <= until and end >= since for begin, end in self.frozen)

    def came_back(self, since: float, until: float) -> bool:
        """Tell whether it stood still at some time between the two, and then went on."""
        ended_at = self.ended_at or float("inf")
        return any(begin <= until and end >= since and end < ended_at for begin, end in self.frozen)


class Herd:
    """So many coordinators and workers of one study, started again whenever they end before the study does."""

    def __init__(self, fleet: Fleet, workdir: Path, coordinators: int, workers: int) -> None:
        self.fleet = fleet
        self.lives: list[Life] = []
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._workdir = workdir
        self._now: dict[int, Life] = {}
        roles = ["coordinator"] * coordinators + ["worker"] * workers
        for slot, role in enumerate(roles):
            self._start(slot, role)

    @property
    def all(self) -> list[Life]:
        """The newest process of each place, also where it has ended."""
        return list(self._now.values())

    @property
    def over(self) -> bool:
        """Whether everybody has ended with status 0: the study is over."""
        return all(life.code == 0 for life in self._now.values())

    def frozen(self, role: str) -> int:
        """Return how many of a role stand still now."""
        return sum(life.is_frozen and life.role == role for life in self._now.values())

    def keep(self) -> None:
        """Take note of who ended, and start them again, unless the study is over for them."""
        for slot, life in list(self._now.items()):
            code = self.fleet.processes[life.name].poll()
            if life.code is None and code is not None:
                life.code, life.ended_at = code, time.time()
                self._look(life)
            if life.code and time.time() - (life.ended_at or 0.0) >= (AWAY_S if life.code == AWAY else 0):
                self.counts["started again"] += 1
                self._start(slot, life.role)

    def _look(self, life: Life) -> None:
        quiet = {0, 75, -signal.SIGKILL} | ({AWAY} if life.role == "worker" else set())
        if "term" in life.signals:
            quiet.add(-signal.SIGTERM)  # it came before Python could take signals
        if life.code not in quiet:
            tail = self.fleet.log(life.name)[-1500:]
            self.problems.append(f"{life.name} ended with {life.code} after {life.signals}:\n{tail}")

    def kill(self, life: Life) -> None:
        """kill -9."""
        life.signals.append("kill")
        self.fleet.signal(life.name, signal.SIGKILL)

    def interrupt(self, life: Life) -> None:
        """SIGTERM."""
        life.signals.append("term")
        self.fleet.signal(life.name, signal.SIGTERM)

    def freeze(self, life: Life) -> None:
        """SIGSTOP."""
        life.signals.append("stop")
        life.frozen.append((time.time(), float("inf")))
        self.fleet.signal(life.name, signal.SIGSTOP)

    def thaw(self, life: Life) -> None:
        """SIGCONT."""
        begin, _ = life.frozen.pop()
        self.fleet.signal(life.name, signal.SIGCONT)
        life.frozen.append((begin, time.time()))

    def _start(self, slot: int, role: str) -> None:
        if role == "worker":
            arguments = ["--name", f"t{len(self.lives)}", "--workdir", str(self._workdir)]
        else:
            arguments = ["--until-done"]
        name = self.fleet.start(role, *arguments)
        life = Life(name=name, role=role, slot=slot, started_at=time.time())
        self.lives.append(life)
        self._now[slot] = life

    def author(self, worker: str) -> Life:
        """Return the life of the process behind a worker's id (``w-t12-<pid>-<hex>``)."""
        return self.lives[int(worker.split("-")[1][1:])]


class Monkey:
    """Now and then kills one process (half of the time), freezes it for longer than a lease, or interrupts it."""

    def __init__(self, rng: random.Random, every_s: float, lease_s: float) -> None:
        self._rng = rng
        self._every_s = every_s
        self._lease_s = lease_s
        self._next = time.monotonic() + every_s
        self._thaw: list[tuple[float, Herd, Life]] = []

    def act(self, herd: Herd) -> None:
        """Do what is due."""
        now = time.monotonic()
        self._continue(now)
        if now < self._next:
            return
        self._next = now + self._every_s * self._rng.uniform(0.5, 1.5)
        victim = self._rng.choice(herd.all)
        if not victim.runs:
            return  # it has ended, or stands still: who is left at the end is not hit more often for it
        deed = self._rng.choice(["kill", "kill", "stop", "term"])
        if deed == "stop" and herd.frozen(victim.role) >= (1 if victim.role == "coordinator" else 3):
            deed = "kill"  # at most a minority stands still: more would look like a failure of the store
        herd.counts[f"{deed} {victim.role}"] += 1
        if deed == "kill":
            herd.kill(victim)
        elif deed == "term":
            herd.interrupt(victim)
        else:
            herd.freeze(victim)
            self._thaw.append((now + self._lease_s * self._rng.uniform(1.2, 2.2), herd, victim))

    def let_go(self) -> None:
        """Continue all that stands still."""
        self._continue(float("inf"))

    def _continue(self, now: float) -> None:
        due = [item for item in self._thaw if item[0] <= now]
        self._thaw = [item for item in self._thaw if item[0] > now]
        for _, herd, life in due:
            herd.thaw(life)
