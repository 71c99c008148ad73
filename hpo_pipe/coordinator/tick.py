"""One tick: ``apply(decide(study, observe(store)))``. Same storage, same decision, on any machine, at any time.

The steps and the demand are those of PROTOCOL.md, 5.11.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from hpo_pipe.coordinator.backlog import MAX_WAITING, MIN_WAITING, Backlog
from hpo_pipe.coordinator.board import BoardWriter, compose
from hpo_pipe.coordinator.chains import Chain, Chains
from hpo_pipe.coordinator.entry_size import first_of
from hpo_pipe.coordinator.log import Log
from hpo_pipe.coordinator.presence import Claim, Presence, list_workers
from hpo_pipe.coordinator.progress import progress_of
from hpo_pipe.coordinator.world import Gather, drawn_token, in_order
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.clock import Clock
from storage_schema.history import History
from storage_schema.keys import LinkId, worker_key
from storage_schema.records import Entry, Facts, Heartbeat, Link, LinkKind, Progress, SettledSpec, Study
from storage_schema.store import Store, Wait
from storage_schema.trial_state import SpecState

MAX_ROUNDS = 16
"""Lost races for the head of the log within one tick before it is left to the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a tick did."""

    entries: int
    """Log entries that this tick appended."""
    settled: int
    changed: bool
    """Whether anything new was seen or written: a reason to look again soon."""
    fenced: tuple[LinkId, ...]
    closed: bool
    """The study has ended and every spec is settled."""


class Coordinator:
    """Everything that one coordinator process remembers; all of it can be rebuilt from the store."""

    def __init__(
        self,
        store: Store,
        study: Study,
        *,
        clock: Clock,
        wait: Wait,
        name: str,
        one_shot: bool = False,
        near: bool = False,
        gather: Gather = in_order,
        rng: random.Random | None = None,
        host: str = "",
        pid: int = 0,
    ) -> None:
        self.name = name
        self._store = store
        self._study = study
        self._clock = clock
        self._wait = wait
        self._one_shot = one_shot
        self._near = near  # reads cost microseconds and no money: look at every open chain in every tick
        self._gather = gather
        self._rng = rng or random.SystemRandom()
        self._host = host
        self._pid = pid
        self.log = Log(store, study)
        self._view = View.of(self.log.history)
        self._presence = Presence(store, study.timing.lease_s)
        self._chains = Chains(store, study, self._presence.last_beat)
        self._board = BoardWriter(
            store, min(study.timing.flush_s, 2 * study.timing.tick_s), self._rng.getrandbits(40)
        )
        self._swept_at = -math.inf
        self._beat = 0
        self._beat_at = -math.inf
        self._started_at = clock.now()
        self._store_ahead_s = 0.0  # the store's clock minus our monotonic one
        self._backlog = Backlog()

    @property
    def history(self) -> History:
        """The fold of the log as last read."""
        return self.log.history

    def tick(self) -> Ticked:
        """Observe, fence, decide, append, publish."""
        read = self.log.follow()
        before = self._look_at_workers()
        probed = self._probe()
        fenced = self._fence(before)
        stopped = self._stop()
        settled, entries = self._append()
        self._board.publish(compose(self.history, self._chains), self._clock.monotonic())
        self.log.pack()
        return Ticked(
            entries=entries,
            settled=settled,
            changed=bool(read or probed or fenced or stopped or entries),
            fenced=tuple(fenced),
            closed=self.history.closed,
        )

    def leave(self) -> None:
        """Take back the heartbeat: this coordinator is about to end."""
        self._store.delete(worker_key(self.name))

    def _look_at_workers(self) -> float:
        """List the heartbeats; return the own monotonic clock just before."""
        now = self._clock.monotonic()
        if now - self._beat_at >= self._study.timing.flush_s:
            self._store.replace(worker_key(self.name), self._heartbeat())
            self._beat_at = now
        before = self._clock.monotonic()
        listing = list_workers(self._store)
        after = self._clock.monotonic()
        self._presence.look(before, after, listing)
        own = self._presence.seen.get(self.name)
        if own is not None and own.changed_at == after:
            self._store_ahead_s = own.modified - after
        self._presence.forget(after, self.name)
        return before

    def _heartbeat(self) -> bytes:
        self._beat += 1
        return Heartbeat(
            worker=self.name,
            role="coordinator",
            host=self._host,
            pid=self._pid,
            beat=self._beat,
            started_at=self._started_at,
        ).to_bytes()

    def _probe(self) -> int:
        """Read new links: of what heartbeats point at, and now and then of every open spec.

        The sweep is what finds a claim whose author died before its first heartbeat. What was to be read is
        forgotten only once it was: the store may fail in between.
        """
        self._chains.keep(self.history.open)
        now = self._clock.monotonic()
        sweep = self._presence.missed or self._near or now - self._swept_at >= self._study.timing.lease_s / 4
        wanted = [spec for spec in self.history.open if sweep or spec in self._presence.pointed]
        found = sum(self._gather(self._chains.probe, wanted))
        self._presence.followed()
        if sweep:
            self._swept_at = now
        return found

    def _fence(self, before: float) -> list[LinkId]:
        claims = [
            Claim(id=chain.claim.id, worker=chain.claim.author, modified=chain.last_modified)
            for chain in self._chains
            if chain.claim is not None
        ]
        if self._one_shot:
            expired = self._presence.expired_once(claims, self.name)
        else:
            expired = self._presence.expired(claims, before, self._clock.monotonic())
        return [claim.id for claim in expired if self._fence_one(claim)]

    def _fence_one(self, claim: Claim) -> bool:
        spec = claim.id.spec
        if self._chains.probe(spec):  # it is not silent after all
            return False
        reason = f"no heartbeat of {claim.worker} that holds it for {self._study.timing.lease_s:g} s"
        return self._close(self._chains[spec], LinkKind.FENCE, reason)

    def _stop(self) -> int:
        """Write the stop links that the log calls for, and give up specs that were tried too often.

        A stop that loses to another link is tried again behind it: this may be the last tick that anybody makes.
        """
        stopped = 0
        for spec in list(self.history.open.values()):
            chain = self._chains.get(spec.id)
            if chain is None or not self._reason_to_stop(spec, chain):
                continue
            self._chains.probe(spec.id)
            for _ in range(MAX_ROUNDS):
                reason = self._reason_to_stop(spec, chain)
                if not reason or self._close(chain, LinkKind.STOP, reason):
                    stopped += bool(reason)
                    break
        return stopped

    def _reason_to_stop(self, spec: SpecState, chain: Chain) -> str:
        """Return why a spec's chain must end here, or an empty string."""
        if chain.last and chain.last.settles:
            return ""
        reason = self.history.finished or self.history.trials[spec.issue.trial].stopped
        if not reason and chain.is_open and chain.attempts >= self._study.max_attempts:
            reason = f"given up after {chain.attempts} attempts"
        return reason

    def _close(self, chain: Chain, kind: LinkKind, reason: str) -> bool:
        now = self._store_now()
        first = Link(kind=kind, id=LinkId(chain.spec, 1), token="", author=self.name)
        link = replace(
            chain.last.following(kind, token="", author=self.name, at=0.0) if chain.last else first,
            token=drawn_token(self._rng),
            at=self._clock.now(),
            held_s=round(self._chains.held_s(chain, now), 3),
            reason=reason,
        )
        return self._chains.extend(link, now, self._wait)

    def _append(self) -> tuple[int, int]:
        """Decide and append until the log says what this coordinator would say; return (settled, entries)."""
        total = entries = 0
        for attempt in range(MAX_ROUNDS):
            settled = self._settled()
            if attempt == 0:
                self._backlog.see(len(settled), sum(chain.is_open for chain in self._chains))
            now = self._store_now()
            facts = Facts(
                now=now,
                demand=self._demand(),
                settled=settled,
                progress=self._progress(),
                open_cost=0.0 if self.history.limits.cost is None else self._chains.open_cost(settled, now),
            )
            decisions = decide(self._view, facts)
            if not settled and not facts.progress and not decisions:
                break
            entry = Entry(
                entry=self.history.head + 1,
                token=drawn_token(self._rng),
                author="coordinator",
                facts=facts,
                decisions=decisions,
            )
            if self.log.append(entry, self._wait):
                entries += 1
                total += len(settled)
            self._chains.keep(self.history.open)
            if self.history.finished is not None:
                self._stop()  # what a finish ends is settled in the same tick: nobody else may ever tick
        return total, entries

    def _settled(self) -> tuple[SettledSpec, ...]:
        open_specs = (self.history.open[spec] for spec in sorted(self.history.open) if spec in self._chains)
        return first_of(fact for spec in open_specs if (fact := self._chains.settled(spec)) is not None)

    def _progress(self) -> tuple[Progress, ...]:
        """Return what the holders of open specs tell of milestones that the log does not hold yet."""
        resource = self._study.resource
        if resource is None or not resource.milestones:
            return ()
        claims = {chain.claim.id: chain.claim.author for chain in self._chains if chain.claim}
        told = self._presence.told(claims)
        found = (progress_of(self.history.open[id.spec], id.link, told[id]) for id in sorted(told))
        return tuple(progress for progress in found if progress is not None)

    def _store_now(self) -> float:
        return round(self._clock.monotonic() + self._store_ahead_s, 3)

    def _demand(self) -> int:
        """Return how many specs should be open: one for each live slot, and some that wait.

        A tick that runs once cannot know how many are used up until the next one, and keeps one for each slot.
        """
        slots = self._presence.slots(self._clock.monotonic(), self.name)
        waiting = max(slots, MIN_WAITING) if self._one_shot else self._backlog.size
        return slots + min(waiting, MAX_WAITING)
