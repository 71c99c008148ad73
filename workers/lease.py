"""What this worker holds, its sign of life, and when it must stop by itself (PROTOCOL.md, 5.4 and 5.8)."""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from storage_schema.chain import read_link
from storage_schema.codec import finite
from storage_schema.errors import StoreUnavailable
from storage_schema.keys import SpecId, worker_key
from storage_schema.machine import MachineFacts
from storage_schema.records import Curve, Heartbeat, Held, Link, LinkKind, Timing
from storage_schema.waiting import ANNOUNCE_AFTER_S, Patience
from workers.world import World

COALESCE_S = 0.2
"""Heartbeats are written no more often than this, however many chains open and close."""

NEWS_SHARE = 0.125
"""Of `flush_s`: how soon a heartbeat tells of a milestone that was passed. Each costs a request."""

RECENT = 64
RETIRE_LIMIT_S = 5.0


class Lost(Exception):
    """The attempt is not this worker's any more; nothing more may be written for it."""

    def __init__(self, reason: str, *, stopped: bool = False) -> None:
        super().__init__(reason)
        self.stopped = stopped
        """A coordinator stopped the spec: the trial may end in good order."""


class Holding:
    """One attempt that this worker holds. The slot's thread and the main thread share it."""

    def __init__(self, world: World, claim: Link, trial: int, since: float, lease_s: float) -> None:
        self.claim = claim
        self.trial = trial
        self.resource = 0
        self.value: float | None = None
        self.renewed_at = since
        """Own monotonic clock: when the newest sign of life that surely arrived was sent."""
        self.unsure = False
        """The process was paused: look before anything else."""
        self.poked = False
        """Look soon: the study has ended."""
        self.curves: Mapping[str, Curve] = {}
        """What was reported at milestones."""
        self.lost = ""
        self._world = world
        self._lease_s = lease_s

    def check(self) -> None:
        """Raise Lost where the main thread has given the attempt up."""
        if self.lost:
            raise Lost(self.lost)

    def expired(self) -> bool:
        """Tell whether no sign of life has arrived for a lease."""
        return self._world.clock.monotonic() - self.renewed_at >= self._lease_s

    def sure(self, patience: Patience) -> None:
        """Return if this worker may write for the attempt, as far as it can know; else raise Lost or GaveUp."""
        patience.through(self.confirm)

    def confirm(self) -> None:
        """Do the same without waiting for a store that is away: raise Lost, or StoreUnavailable.

        Called before each thing that is begun, not only once for several: the process may have been paused in any
        request, and this thread may be the first one that runs again.
        """
        self.check()
        if self.unsure or self.expired():
            self.look()
            self.check()

    def look(self) -> None:
        """Read the next link: absent means still mine; raises Lost, or StoreUnavailable."""
        self.poked = False
        link = read_link(self._world.store, replace(self.claim.id, link=self.claim.id.link + 1))
        if link is None:
            self.unsure = False
            return
        self.lost = f"{_PAST[link.kind]} by {link.author}" + (f" ({link.reason})" if link.reason else "")
        raise Lost(self.lost, stopped=link.kind is LinkKind.STOP)

    def held(self) -> Held:
        """Return the line of the heartbeat."""
        value = None if self.value is None else finite(self.value)
        id = self.claim.id
        return Held(
            spec=id.spec,
            attempt=id.link,
            trial=self.trial,
            resource=self.resource,
            value=value,
            curves=self.curves,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a worker says about itself."""

    name: str
    """Part of its ids: the host's name, or what the user chose."""
    host: str
    pid: int
    slots: int
    gpus: int
    facts: MachineFacts = ()
    """Of the hardware and the system, for the heartbeat."""
    hired: MachineFacts = ()
    """How it was hired and what it costs, for heartbeat and claims."""


def worker_id(name: str, pid: int, token: str) -> str:
    """Return an id like ``w-gpu7-4242-3f09ac``."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:36] or "host"
    return f"w-{cleaned}-{pid}-{token[:6]}"


class Lease:
    """The attempts of this worker and its heartbeat. Only the main thread writes the heartbeat."""

    def __init__(self, world: World, timing: Timing, machine: Machine) -> None:
        self._world = world
        self._timing = timing
        self._machine = machine
        self._lock = threading.Lock()
        self._held: list[Holding] = []
        self._recent: deque[SpecId] = deque(maxlen=RECENT)
        self._closed = 0
        self._slots = machine.slots
        self._started_at = world.clock.now()
        counts = {
            "slots": str(machine.slots),
            "gpus": str(machine.gpus),
            "started_at": f"{self._started_at:.3f}",
        }
        self.machine_facts: MachineFacts = tuple(sorted({**counts, **dict(machine.hired)}.items()))
        """What each claim says of the machine."""
        self._new_identity()

    def hold(self, claim: Link, trial: int, since: float) -> Holding:
        """Take in a claim that was won; `since` is when it was first sent, own monotonic clock."""
        holding = Holding(self._world, claim, trial, since, self._timing.lease_s)
        with self._lock:
            if claim.author != self.worker:
                holding.lost = "claimed under an id that this worker has given up"
            self._held.append(holding)
            self._wanted = True
        return holding

    def let_go(self, holding: Holding, *, closed: bool) -> None:
        """Hold an attempt no more; `closed` if this worker ended its chain or gave it back."""
        with self._lock:
            if holding not in self._held:
                return  # given back at the last moment, by the main thread
            self._held.remove(holding)
            self._wanted = True
            if closed:
                self._closed += 1
                self._recent.append(holding.claim.id.spec)

    def step(self) -> None:
        """Write the heartbeat if it is due, and give everything up that could not be renewed for a lease."""
        now = self._world.clock.monotonic()
        if now >= self._due():
            self._beat(now)
        if any(h.expired() and not h.lost for h in self.holdings()):
            self.give_up(f"the heartbeat could not be renewed for {self._timing.lease_s:g} s")

    def due_in_s(self) -> float:
        """Return the seconds until :meth:`step` has something to do, at least 0."""
        return max(0.0, self._due() - self._world.clock.monotonic())

    def paused(self) -> None:
        """Take note that this process stood still for longer than a lease: every holder looks first."""
        now = self._world.clock.monotonic()
        for holding in self.holdings():
            holding.unsure, holding.renewed_at = True, now
        self._wanted = True

    def poke(self) -> None:
        """Let every holder look at its next link soon."""
        for holding in self.holdings():
            holding.poked = True

    def tell(self) -> None:
        """Take note of news that a coordinator waits for: the heartbeat is written sooner."""
        self._news = True

    def give_up(self, reason: str) -> None:
        """Lose all that is held, and go on as a new worker."""
        with self._lock:
            for holding in self._held:
                holding.lost = holding.lost or reason
            self._new_identity()

    def gpu_share(self) -> float:
        """Return the GPUs of one slot."""
        return self._machine.gpus / self._machine.slots

    def holdings(self) -> list[Holding]:
        """Return what is held now."""
        with self._lock:
            return list(self._held)

    def retire(self) -> None:
        """Write a last heartbeat that takes nothing more; it still names the specs that were closed."""
        self._slots = 0
        patience = self._world.patience(lambda: False, RETIRE_LIMIT_S)
        try:
            patience.through(self._write)
        except StoreUnavailable as error:
            self._world.say(f"the last heartbeat could not be written: {error}")

    def _new_identity(self) -> None:
        self.worker = worker_id(self._machine.name, self._machine.pid, self._world.token())
        self._beats = 0
        self._wanted = True
        self._news = False
        self._beat_at: float | None = None
        self._failures = 0
        self._failing_since = 0.0
        self._retry_at = 0.0

    def _due(self) -> float:
        if self._failures:
            return self._retry_at
        if self._beat_at is None:
            return -math.inf
        flush_s = self._timing.flush_s
        if self._wanted:
            return self._beat_at + min(flush_s, COALESCE_S)
        return self._beat_at + (flush_s * NEWS_SHARE if self._news else flush_s)

    def _beat(self, now: float) -> None:
        try:
            self._write()
        except StoreUnavailable as error:
            self._failing_since = self._failing_since if self._failures else now
            self._failures += 1
            self._retry_at = self._world.clock.monotonic() + self._pause_s()
            if now - self._failing_since >= ANNOUNCE_AFTER_S:
                self._world.waiting(f"waiting: {error}")
        else:
            self._failures = 0

    def _write(self) -> None:
        with self._lock:
            self._beats += 1
            self._wanted = self._news = False
            holdings = [h for h in self._held if not h.lost]
            beat = self._heartbeat(holdings)
        self._beat_at = sent = self._world.clock.monotonic()
        self._world.store.replace(worker_key(beat.worker), beat.to_bytes())
        for holding in holdings:
            holding.renewed_at = max(holding.renewed_at, sent)

    def _heartbeat(self, holdings: list[Holding]) -> Heartbeat:
        return Heartbeat(
            worker=self.worker,
            role="worker",
            host=self._machine.host,
            pid=self._machine.pid,
            beat=self._beats,
            started_at=self._started_at,
            slots=self._slots,
            gpus=self._machine.gpus,
            holding=tuple(h.held() for h in holdings),
            closed=self._closed,
            recent=tuple(self._recent),
            machine=tuple(sorted({**dict(self._machine.facts), **dict(self._machine.hired)}.items())),
        )

    def _pause_s(self) -> float:
        return self._world.patience(lambda: False).pause_s(self._failures)


_PAST = {
    LinkKind.FENCE: "fenced",
    LinkKind.STOP: "stopped",
    LinkKind.CLAIM: "claimed",
    LinkKind.DONE: "done",
    LinkKind.FAIL: "failed",
    LinkKind.RELEASE: "released",
}
