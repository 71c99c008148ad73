"""The auditor sits behind the true store and checks every landing against what the protocol promises.

It keeps its own books (the fold of the log, the chains, the digests of all data), never the product's caches, and
looks only at what landed, so that no order of requests and answers can fool it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from storage_schema.codec import sha256
from storage_schema.errors import DamagedRecord
from storage_schema.keys import (
    BOARD,
    CHECKPOINTS,
    STUDY,
    LinkId,
    SpecId,
    parse_link_key,
    parse_log_key,
    parse_manifest_key,
    parse_segment_key,
    parse_worker_key,
)
from storage_schema.records import Board, Finish, Heartbeat, LinkKind, Study
from storage_schema.store import Blob, Created
from storage_schema.trial_env import TrialFile
from tests.e2e.lineage import begun_at, state_of
from tests.simulation.chain_book import ChainBook
from tests.simulation.data_book import DataBook
from tests.simulation.holder_book import HolderBook
from tests.simulation.log_book import LogBook
from tests.simulation.observer_book import ObserverBook
from workers.watch import STOP_GRACE_S

if TYPE_CHECKING:
    from tests.simulation.processes import Actor
    from tests.simulation.store import Call

ONCE = ("log/", "chain/", STUDY)
LAG_S = 4.0
"""Over and above flush and grace: looks at a poll, requests that were under way."""


class Auditor:
    """Checks everything as it happens; `fail` is told what is wrong."""

    def __init__(self, study: Study, *, faithful: bool, fail: Callable[[str], None]) -> None:
        """Open the books.

        Args:
            study: what is searched.
            faithful: whether listings and clocks are good, so that nobody alive may be fenced.
            fail: takes the words for what is wrong.
        """
        self._fail = fail
        self.faithful = faithful
        self._owners: dict[str, Actor] = {}
        self._beats: dict[str, int] = {}
        self.signs: dict[LinkId, float] = {}
        """When a sign of life of an attempt last landed."""
        self.lost_at: dict[LinkId, float] = {}
        """When an attempt was taken from its holder."""
        self.data = DataBook(fail)
        self.log = LogBook(study, self.data, fail)
        self.chains = ChainBook(study, self.log, self.data, fail)
        self.log.chains = self.chains
        self.holders = HolderBook(study.timing.lease_s, fail)
        self.observers = ObserverBook(study.timing.lease_s, self.chains.holding, fail)
        self._told_of_end: set[str] = set()
        """The processes that have asked the log for what comes behind the end of the study, and found nothing."""
        self.attempts = 0

    # what happens in the store

    def landed(self, call: Call, before: Blob | None, answer: object, now: float) -> None:
        """Take note that a request has reached the true store."""
        verb, key = call.verb, call.key
        if verb in ("get", "list"):
            if self.closed and answer is None and parse_log_key(key) == len(self.log.entries):
                self._told_of_end.add(call.actor.name)
            return
        once = key.startswith(ONCE)
        if once and verb != "create":
            self._fail(f"{key} was {verb}d by {call.actor.name}: it is written once")
        elif verb == "delete":
            self._deleted(call)
        elif before is None:
            self._new(call, now)
        elif verb == "create" and answer is Created.CREATED:
            self._fail(f"{key} stands already, and a create of {call.actor.name} was answered 'created'")
        elif verb == "replace":
            self._replaced(call, before, now)

    def _new(self, call: Call, now: float) -> None:
        key = call.key
        if (number := parse_log_key(key)) is not None:
            self._guarded(key, lambda: self.log.landed(number, call.data))
        elif (link := parse_link_key(key)) is not None:
            self._guarded(key, lambda: self._link(link, call, now))
        elif key.startswith(("metrics/", CHECKPOINTS)):
            self._guarded(key, lambda: self._file(call))
        else:
            self._replaced(call, None, now)

    def _guarded(self, key: str, check: Callable[[], None]) -> None:
        try:
            check()
        except DamagedRecord as error:
            self._fail(f"what was written cannot be read: {error}")

    def _link(self, id: LinkId, call: Call, now: float) -> None:
        link = self.chains.landed(id, call.data, call.actor)
        if link is None:
            return
        if link.kind is LinkKind.CLAIM:
            self.attempts += 1
            self.signs[id] = now
            self._owned(link.author, call.actor)
        elif link.kind in (LinkKind.FENCE, LinkKind.STOP):
            attempt = LinkId(id.spec, id.link - 1)
            self.lost_at[attempt] = now
            if link.kind is LinkKind.FENCE and self.faithful:
                self._fenced(attempt, call)
        elif link.kind in (LinkKind.DONE, LinkKind.FAIL, LinkKind.RELEASE):
            self._owned(link.author, call.actor)

    def _fenced(self, attempt: LinkId, call: Call) -> None:
        """Check that nobody was fenced who gave a sign of life within a lease before the author's last look."""
        since = call.listing_began - self.log.study.timing.lease_s
        sign = self.signs.get(attempt, -1.0)
        if since < sign <= call.listing_began:
            self._fail(
                f"attempt {attempt.link} of {attempt.spec} was fenced by {call.actor.name}, which began to list the "
                f"workers at {call.listing_began:.3f}; it had given a sign of life at {sign:.3f}"
            )

    def _file(self, call: Call) -> None:
        key, actor = call.key, call.actor
        segment, manifest = parse_segment_key(key), parse_manifest_key(key)
        attempt = None
        if segment is not None:
            attempt = LinkId(segment.spec, segment.attempt)
        elif manifest is not None:
            attempt = LinkId(manifest.spec, manifest.attempt)
        if attempt is not None and self.chains.holder(attempt) is not actor:
            self._fail(f"{key} was written by {actor.name}, which never held this attempt")
        self.data.written(key, call.data)
        if manifest is not None:
            self.data.committed(manifest, call.data, self.chains.issue(manifest.spec))

    def _replaced(self, call: Call, before: Blob | None, now: float) -> None:
        key = call.key
        if key.startswith(("metrics/", CHECKPOINTS)):
            if before is not None and before.data != call.data:
                self._fail(f"{key} was replaced by other bytes")
        elif (worker := parse_worker_key(key)) is not None:
            beat = Heartbeat.from_bytes(call.data, worker)
            holding = {LinkId(held.spec, held.attempt) for held in beat.holding}
            if before is not None:
                listed = Heartbeat.from_bytes(before.data, worker).holding
                for forgotten in {LinkId(held.spec, held.attempt) for held in listed} - holding:
                    self.signs.pop(forgotten, None)  # who lists it no more has lost it, whenever it last did
            self.signs.update(dict.fromkeys(holding, now))

    def _deleted(self, call: Call) -> None:
        if call.key.startswith(CHECKPOINTS):
            words = self.chains.needs(call.key)
            if words:
                self._fail(f"{call.key} was deleted by {call.actor.name}, and {words}")
            self.data.deleted(call.key)
        elif call.key.startswith("metrics/"):
            self._fail(f"{call.key} was deleted by {call.actor.name}: segments stay")

    # what processes say and do

    def answered(self, call: Call, now: float, error: Exception | None) -> None:
        """Take note of what a process has learnt."""
        if call.actor.kind == "coordinator":
            self.observers.answered(call, now, error)
        elif call.actor.kind == "worker" and error is None:
            self.holders.answered(call, now)

    def left(self, actor: Actor) -> None:
        """Check that a worker that ends of itself has learnt from the log that the study has ended."""
        if not self.closed and actor.name not in self._told_of_end:
            self._fail(f"{actor.name} has left for good; the study is not over, nor did the log say so")

    def sent(self, call: Call, now: float) -> None:
        """Check a hint when it is sent: it may land late, but it must never have been wrong."""
        if call.verb == "create":
            self.holders.sent(call, now)
            if self.faithful and call.actor.kind == "coordinator":
                self.observers.sent(call)
        elif (worker := parse_worker_key(call.key)) is not None:
            self._guarded(call.key, lambda: self._heartbeat(worker, call))
        elif call.key == BOARD:
            self._guarded(call.key, lambda: self._board(call))

    def _heartbeat(self, worker: str, call: Call) -> None:
        beat, actor = Heartbeat.from_bytes(call.data, worker), call.actor
        self._owned(worker, actor)
        if beat.beat <= self._beats.get(worker, 0):
            self._fail(f"{worker} wrote beat {beat.beat} after {self._beats[worker]}")
        self._beats[worker] = beat.beat
        if beat.role != ("worker" if actor.kind == "worker" else "coordinator") or beat.slots > actor.slots:
            self._fail(f"the heartbeat of {actor.name} is wrong: {beat}")
        if len(beat.holding) > actor.slots:
            self._fail(f"{actor.name} holds {len(beat.holding)} specs in {actor.slots} slots")
        for held in beat.holding:
            if self.chains.author(LinkId(held.spec, held.attempt)) != worker:
                self._fail(
                    f"{worker} says that it holds {held.spec} attempt {held.attempt}, which it never won"
                )

    def _board(self, call: Call) -> None:
        board = Board.from_bytes(call.data)
        if board.head >= len(self.log.entries):
            self._fail(f"the board of {call.actor.name} is ahead of the log: {board.head}")
            return
        for line in board.open:
            issue = self.chains.issue(line.spec)
            ahead = line.next_link > len(self.chains.links(line.spec)) + 1
            if issue is None or issue.trial != line.trial or ahead or line.spec.entry > board.head:
                self._fail(f"the board of {call.actor.name} names what is not so: {line}")
        if board.finished is not None:
            entry = self.log.entries[board.finished]
            if not any(isinstance(decision, Finish) for decision in entry.decisions):
                self._fail(f"the board of {call.actor.name} says that entry {board.finished} ended the study")

    def _owned(self, author: str, actor: Actor) -> None:
        if self._owners.setdefault(author, actor) is not actor:
            self._fail(f"{author} is the id of {self._owners[author].name} and of {actor.name}")

    def trial_started(self, actor: Actor, file: TrialFile, epoch: int, state: float) -> None:
        """Check where a trial starts, and that no worker runs more of them than it has slots."""
        actor.trials += 1
        if actor.trials > actor.slots:
            self._fail(f"{actor.name} runs {actor.trials} trials in {actor.slots} slots")
        history = self.log.history
        if epoch != file.start or state != state_of(history, file.trial, epoch):
            self._fail(f"trial {file.trial} was told to start at {file.start} and found {epoch}, {state}")
        if file.restored is not None:
            own = file.start > begun_at(history, file.trial)
            author = file.trial if own else history.trials[file.trial].parent
            self.data.restored(author, file.start, Path(file.restored))
        self.chains.started(actor, file)

    def trial_ended(self, actor: Actor, file: TrialFile, now: float, clear_since: float) -> None:
        """Take note that a trial is gone; once nothing hinders it, a worker notices soon that it has lost one."""
        actor.trials -= 1
        spec = SpecId.parse(file.spec)
        assert spec is not None
        lost_at = max(self.lost_at.get(LinkId(spec, file.attempt), now), clear_since)
        timing = self.log.study.timing
        if now - lost_at > timing.flush_s + min(timing.grace_s, STOP_GRACE_S) + LAG_S:
            self._fail(
                f"{actor.name} trained {file.spec} attempt {file.attempt} for {now - lost_at:.1f} s in vain"
            )

    @property
    def closed(self) -> bool:
        """Whether the study has ended and every spec is settled."""
        return self.log.history.closed


def digest(data: bytes) -> str:
    """Return a short digest for people."""
    return sha256(data)[:8]
