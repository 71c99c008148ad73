"""Who is alive: heartbeats as one coordinator has seen them change, and which claims that leaves without a holder.

No two machines' clocks are compared. A long-running coordinator counts on its own monotonic clock for how long
no heartbeat that holds a claim has changed; a one-shot tick compares modified times of the store alone
(PROTOCOL.md, section 5.12). A wrong answer costs repeated work, never a wrong result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage_schema.errors import DamagedRecord
from storage_schema.keys import WORKERS, LinkId, SpecId, parse_worker_key, worker_key
from storage_schema.records import Heartbeat, Held
from storage_schema.store import Blob, Stat, Store

MASS_LOSS_WORKERS = 4
"""When more than half of at least this many holders vanish at once, it is the observer or the store that is ill."""
READ_GRAIN_S = 1.0
"""S3 lists milliseconds and reads whole seconds."""
FORGET_LEASES = 20
"""A heartbeat that has not changed for so many leases is deleted."""


@dataclass(slots=True)
class Seen:
    """One heartbeat object, as last read."""

    version: str
    modified: float
    changed_at: float
    """The observer's monotonic clock after the listing that first showed this version."""
    beat: Heartbeat | None
    """None: unreadable, which counts as holding nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim link that no link follows, as far as is known."""

    id: LinkId
    worker: str
    modified: float
    """When the claim was created, on the store's clock."""


class Presence:
    """The heartbeats of one study."""

    def __init__(self, store: Store, lease_s: float) -> None:
        self._store = store
        self._lease_s = lease_s
        self.seen: dict[str, Seen] = {}
        self._alive_at: dict[LinkId, float] = {}
        self._looked_at: float | None = None
        self._judge_from = -math.inf
        self._forgotten: dict[str, float] = {}
        self.pointed: set[SpecId] = set()
        """Specs that changed heartbeats point at, until :meth:`followed`: a tick may fail before it looks there."""
        self.missed = False
        """Workers closed more chains than their heartbeats could name, until :meth:`followed`: look at all of them."""

    def look(self, before: float, after: float, listing: Iterable[Stat]) -> None:
        """Take in a listing of ``workers/``.

        Args:
            before, after: the observer's monotonic clock when the listing began and ended, seconds.
            listing: what it showed.
        """
        self._notice_own_pause(before, after)
        names = set()
        for stat in listing:
            worker = parse_worker_key(stat.key)
            if worker is None:
                continue
            names.add(worker)
            known = self.seen.get(worker)
            if known is None or (known.version, known.modified) != (stat.version, stat.modified):
                self.pointed |= self._read(worker, stat, after)
        for gone in self.seen.keys() - names:
            self.pointed |= _holding(self.seen.pop(gone).beat)

    def followed(self) -> None:
        """Take note that the chains of all that was pointed at, or missed, have been read."""
        self.pointed.clear()
        self.missed = False

    def slots(self, now: float, own: str) -> int:
        """Return the slots of all workers whose heartbeat changed within the last lease."""
        mine = self.seen.get(own)
        store_now = mine.modified if mine else -math.inf
        beats = (
            s.beat
            for s in self.seen.values()
            if now - s.changed_at < self._lease_s and store_now - s.modified < self._lease_s
        )
        return sum(beat.slots for beat in beats if beat is not None and beat.role == "worker")

    def last_beat(self, worker: str) -> float | None:
        """Return when a heartbeat was last replaced, on the store's clock; None where there is none any more."""
        seen = self.seen.get(worker)
        return self._forgotten.get(worker) if seen is None else seen.modified

    def told(self, claims: Mapping[LinkId, str]) -> dict[LinkId, Held]:
        """Return what holders say of the claims that they hold, where they tell of milestones."""
        found = {}
        for id, worker in claims.items():
            seen = self.seen.get(worker)
            for held in seen.beat.holding if seen and seen.beat else ():
                if held.curves and held.spec == id.spec and held.attempt == id.link:
                    found[id] = held
        return found

    def expired(self, claims: list[Claim], before: float, now: float) -> list[Claim]:
        """Return the claims whose holder has been silent for a lease, for a coordinator that keeps running.

        Args:
            claims: all open claims.
            before: the observer's monotonic clock when the last listing began, seconds.
            now: the same when all claims had been read, after the listing: a new one may be younger than it.
        """
        held = {claim.id for claim in claims}
        self._alive_at = {id: at for id, at in self._alive_at.items() if id in held}
        silent = []
        for claim in claims:
            self._alive_at.setdefault(claim.id, now)
            seen = self.seen.get(claim.worker)
            if seen and seen.changed_at > self._alive_at[claim.id] and _holds(seen.beat, claim.id):
                self._alive_at[claim.id] = seen.changed_at
            if before - self._alive_at[claim.id] >= self._lease_s:
                silent.append(claim)
        if before < self._judge_from:
            return []
        if _mass_loss(claims, silent) and self._judge_from < before - self._lease_s:
            self._judge_from = before + self._lease_s
            return []
        return silent

    def expired_once(self, claims: list[Claim], own: str) -> list[Claim]:
        """Return the claims whose holder has been silent for a lease, for a tick that runs once.

        Args:
            claims: all open claims.
            own: this process's id; its heartbeat's modified time is the store's "now".
        """
        mine = self.seen.get(own)
        if mine is None:
            return []
        silent = [c for c in claims if mine.modified - self._last_sign(c) >= self._lease_s]
        if _mass_loss(claims, silent):
            silent = [c for c in silent if mine.modified - self._last_sign(c) >= 2 * self._lease_s]
        return silent

    def forget(self, now: float, own: str) -> None:
        """Delete heartbeats that have been silent for very long, so that listings do not grow with history."""
        mine = self.seen.get(own)
        self._forgotten = {}
        for worker, seen in list(self.seen.items()):
            silent_s = now - seen.changed_at
            if mine is not None:
                silent_s = max(silent_s, mine.modified - seen.modified)
            if worker != own and silent_s > FORGET_LEASES * self._lease_s:
                self._store.delete(worker_key(worker))
                self._forgotten[worker] = self.seen.pop(worker).modified

    def _notice_own_pause(self, before: float, after: float) -> None:
        """After a pause of its own (a suspended machine) the observer gives everybody half a lease to be seen again.

        Not more than once in so long: an observer that is merely slow would never judge anybody.
        """
        paused = self._looked_at is not None and before - self._looked_at > self._lease_s / 2
        if paused and before >= self._judge_from + self._lease_s:
            self._judge_from = before + self._lease_s / 2
        self._looked_at = after

    def _read(self, worker: str, stat: Stat, after: float) -> set[SpecId]:
        """Read a changed heartbeat. What is remembered is the listing's version and time, never the read's:

        S3 lists milliseconds and reads whole seconds, and a comparison of the two would look like a change.
        """
        try:
            blob = self._store.get(worker_key(worker))
            if not isinstance(blob, Blob):
                return set()
            beat = Heartbeat.from_bytes(blob.data, worker)
        except DamagedRecord:
            beat = None
        before = self.seen.get(worker)
        self.seen[worker] = Seen(stat.version, stat.modified, after, beat)
        closed_before = before.beat.closed if before and before.beat else 0
        if beat is not None and beat.closed - closed_before > len(beat.recent):
            self.missed = True
        pointed = _holding(beat) | (set(beat.recent) if beat else set())
        return pointed | (_holding(before.beat) if before else set())

    def _last_sign(self, claim: Claim) -> float:
        """Return when a holder last showed itself; a claim's time is of a read, and may be up to a second too old."""
        claimed = claim.modified + READ_GRAIN_S
        seen = self.seen.get(claim.worker)
        if seen is not None and _holds(seen.beat, claim.id):
            return max(seen.modified, claimed)
        return claimed


def _holds(beat: Heartbeat | None, id: LinkId) -> bool:
    return beat is not None and any(h.spec == id.spec and h.attempt == id.link for h in beat.holding)


def _holding(beat: Heartbeat | None) -> set[SpecId]:
    return {held.spec for held in beat.holding} if beat else set()


def _mass_loss(claims: list[Claim], silent: list[Claim]) -> bool:
    holders = {claim.worker for claim in claims}
    return len(holders) >= MASS_LOSS_WORKERS and 2 * len({c.worker for c in silent}) > len(holders)


def list_workers(store: Store) -> list[Stat]:
    """Return the heartbeat objects of a study."""
    return list(store.list(WORKERS))
