"""Planted faults of coordinators: the log, decisions, fencing, snapshots (PROTOCOL.md, 5.2 and 5.10 to 5.13)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count

import numpy as np

import hpo_pipe.coordinator.packs
import hpo_pipe.coordinator.presence
import hpo_pipe.coordinator.tick
from hpo_pipe.coordinator.board import compose
from hpo_pipe.coordinator.chains import Chain, Chains
from hpo_pipe.coordinator.log import Log
from hpo_pipe.coordinator.packs import Packs, encode_pack, pack_start
from hpo_pipe.coordinator.presence import Claim, Presence
from hpo_pipe.coordinator.tick import Coordinator
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.errors import DamagedRecord, OutcomeUnknown
from storage_schema.keys import LinkId, SpecId, link_key, log_key
from storage_schema.records import (
    Board,
    Decision,
    Entry,
    Facts,
    Heartbeat,
    Held,
    Issue,
    Link,
    LinkKind,
    Progress,
    SettledSpec,
)
from storage_schema.store import Created, Stat, Wait
from storage_schema.trial_state import SpecState
from tests.simulation.patching import replaced

# the log


@contextmanager
def own_entry_believed() -> Iterator[None]:
    """An author without an answer goes on as if its own entry stood."""
    settle = Log.append

    def append(self: Log, entry: Entry, wait: Wait) -> bool:
        data = entry.to_bytes()
        try:
            if self._store.create(log_key(entry.entry), data) is Created.EXISTS:
                return settle(self, entry, wait)
        except OutcomeUnknown:
            pass
        self._read_in(data)
        return True

    with replaced(Log, append=append):
        yield


@contextmanager
def next_number_same_entry() -> Iterator[None]:
    """Who loses the race for a number writes the same decisions under the next one."""
    settle = Log.append

    def append(self: Log, entry: Entry, wait: Wait) -> bool:
        while not settle(self, entry, wait):
            if entry.facts is None:
                return False
            self.follow()
            entry = replace(entry, entry=self.history.head + 1)
        return True

    with replaced(Log, append=append):
        yield


@contextmanager
def board_before_entry() -> Iterator[None]:
    """The board names what an entry will issue before that entry has won."""
    decide_and_append = Coordinator._append

    def append_early(self: Coordinator) -> tuple[int, int]:
        log, settle = self.log, self.log.append

        def append(entry: Entry, wait: Wait) -> bool:
            known = dict(self._chains._chains)
            with log.history.draft():
                log.history.fold(entry)
                self._chains.keep(log.history.open)
                board = compose(log.history, self._chains)
            self._chains._chains = known
            self._board.publish(board, self._clock.monotonic())
            return settle(entry, wait)

        log.append = append  # type: ignore[method-assign]
        try:
            return decide_and_append(self)
        finally:
            del log.append

    with replaced(Coordinator, _append=append_early):
        yield


# decisions


@contextmanager
def draws_of_the_process() -> Iterator[None]:
    """Configurations are drawn from one stream of the process."""
    numbers = count()
    with replaced(View, rng=lambda self, purpose, number: np.random.default_rng(next(numbers))):
        yield


@contextmanager
def draws_in_order_of_calls() -> Iterator[None]:
    """Draws are keyed by how many came before them in this process, not by trial."""
    key = View.rng

    def rng(self: View, purpose: str, number: int) -> np.random.Generator:
        history = self.history
        history.draws = getattr(history, "draws", 0) + 1  # type: ignore[attr-defined]
        return key(self, purpose, history.draws)  # type: ignore[attr-defined]

    with replaced(View, rng=rng):
        yield


@contextmanager
def decided_on_more() -> Iterator[None]:
    """A decision rests on what the process knows and the entry does not say."""

    def knowing(view: View, facts: Facts) -> tuple[Decision, ...]:
        return decide(view, replace(facts, demand=facts.demand + 1))

    with replaced(hpo_pipe.coordinator.tick, decide=knowing):
        yield


# observing


@contextmanager
def no_sweep() -> Iterator[None]:
    """Only chains that a heartbeat points at are read."""
    probe = Coordinator._probe

    def pointed_only(self: Coordinator) -> int:
        self._swept_at = math.inf
        return probe(self)

    with replaced(Coordinator, _probe=pointed_only):
        yield


@contextmanager
def result_unread() -> Iterator[None]:
    """A spec that a heartbeat names in `recent` is taken for done, with the value that it last told."""
    told: dict[SpecId, float | None] = {}
    read, end = Presence._read, Chains.settled

    def remember(self: Presence, worker: str, stat: Stat, after: float) -> set[SpecId]:
        before = self.seen.get(worker)
        pointed = read(self, worker, stat, after)
        values = {held.spec: held.value for held in before.beat.holding} if before and before.beat else {}
        beat = self.seen[worker].beat if worker in self.seen else None
        told.update({spec: values.get(spec) for spec in (beat.recent if beat else ())})
        return pointed

    def settled(self: Chains, spec: SpecState) -> SettledSpec | None:
        fact = end(self, spec)
        if fact is not None or spec.id not in told:
            return fact
        chain, to = self[spec.id], spec.issue.to
        return SettledSpec(
            spec=spec.id,
            link=chain.next_link,
            outcome="done",
            resource=to,
            curves={self._study.objective.name: ((to, told[spec.id]),)},
            checkpoint=None,
            wall_s=0.0,
            gpu_s=0.0,
            attempts=max(1, chain.attempts),
            reason="",
        )

    with replaced(Presence, _read=remember), replaced(Chains, settled=settled):
        yield


# fencing


@contextmanager
def claim_is_deleted() -> Iterator[None]:
    """A dead holder's claim is deleted."""
    close = Coordinator._close

    def unlock(self: Coordinator, chain: Chain, kind: LinkKind, reason: str) -> bool:
        if kind is not LinkKind.FENCE or chain.last is None:
            return close(self, chain, kind, reason)
        self._store.delete(link_key(chain.last.id))
        self._chains._chains[chain.spec] = Chain(chain.spec)
        return True

    with replaced(Coordinator, _close=unlock):
        yield


@contextmanager
def fence_is_a_failure() -> Iterator[None]:
    """A fence counts as a failed try."""
    extend = Chains.extend

    def counted(self: Chains, link: Link, modified: float, wait: Wait) -> bool:
        fence = link.kind is LinkKind.FENCE
        return extend(self, replace(link, failures=link.failures + 1) if fence else link, modified, wait)

    with replaced(Chains, extend=counted):
        yield


@contextmanager
def wall_clock_lease() -> Iterator[None]:
    """The age of a sign of life is this machine's time less the store's."""

    def fence(self: Coordinator, *_look: float) -> list[LinkId]:
        now, found = self._clock.now(), []
        for chain in self._chains:
            if chain.claim is not None:
                id, worker = chain.claim.id, chain.claim.author
                claim = Claim(id=id, worker=worker, modified=chain.last_modified)
                silent_s = now - self._presence._last_sign(claim)
                if silent_s >= self._study.timing.lease_s and self._fence_one(claim):
                    found.append(id)
        return found

    with replaced(Coordinator, _fence=fence):
        yield


@contextmanager
def own_pause_unnoticed() -> Iterator[None]:
    """An observer that stood still judges at once."""
    with replaced(Presence, _notice_own_pause=lambda self, before, after: None):
        yield


@contextmanager
def any_beat_is_life() -> Iterator[None]:
    """A worker that lives is taken to hold whatever it once claimed."""
    with replaced(hpo_pipe.coordinator.presence, _holds=lambda beat, id: beat is not None):
        yield


@contextmanager
def fence_unread() -> Iterator[None]:
    """A fence is created without a last look. Does no harm."""

    def fence_one(self: Coordinator, claim: Claim) -> bool:
        reason = f"no heartbeat of {claim.worker}"
        return self._close(self._chains[claim.id.spec], LinkKind.FENCE, reason)

    with replaced(Coordinator, _fence_one=fence_one):
        yield


@contextmanager
def hint_cut_short() -> Iterator[None]:
    """What can be read of a hint that was cut short is believed, which is nothing. Does no harm."""
    read_board, read_beat = Board.from_bytes, Heartbeat.from_bytes

    def board(data: bytes) -> Board:
        with suppress(DamagedRecord):
            return read_board(data)
        return Board(head=-1, open=())

    def beat(data: bytes, worker: str) -> Heartbeat:
        with suppress(DamagedRecord):
            return read_beat(data, worker)
        return Heartbeat(worker=worker, role="worker", host="", pid=0, beat=0, started_at=0.0)

    with (
        replaced(Board, from_bytes=staticmethod(board)),
        replaced(Heartbeat, from_bytes=staticmethod(beat)),
    ):
        yield


# ending


@contextmanager
def stop_behind_done() -> Iterator[None]:
    """A stop is written behind whatever stands last."""

    def reason(self: Coordinator, spec: SpecState, chain: Chain) -> str:
        ended = chain.last is not None and chain.last.kind is LinkKind.STOP
        return "" if ended else self.history.finished or self.history.trials[spec.issue.trial].stopped

    with replaced(Coordinator, _reason_to_stop=reason):
        yield


@contextmanager
def finish_leaves_specs_open() -> Iterator[None]:
    """The end of the study stops nobody."""

    def reason(self: Coordinator, spec: SpecState, chain: Chain) -> str:
        ended = chain.last is not None and chain.last.settles
        return "" if ended else self.history.trials[spec.issue.trial].stopped

    with replaced(Coordinator, _reason_to_stop=reason):
        yield


# snapshots


@contextmanager
def snapshot_without_a_spec() -> Iterator[None]:
    """A pack leaves out the last spec that its entries issue."""

    def encode(first: int, entries: list[bytes]) -> bytes:
        read = [Entry.from_bytes(data, first + place) for place, data in enumerate(entries)]
        issuing = [place for place, entry in enumerate(read) if any(True for _ in entry.issues())]
        if issuing:
            entry = read[issuing[-1]]
            last = max(n for n, decision in enumerate(entry.decisions) if isinstance(decision, Issue))
            fewer = tuple(d for n, d in enumerate(entry.decisions) if n != last)
            entries = [*entries]
            entries[issuing[-1]] = replace(entry, decisions=fewer).to_bytes()
        return encode_pack(first, entries)

    with replaced(hpo_pipe.coordinator.packs, encode_pack=encode):
        yield


@contextmanager
def log_deleted_behind_snapshot() -> Iterator[None]:
    """What a pack covers is deleted from the log."""
    write = Packs.write

    def write_and_delete(self: Packs, end: int, entries: list[bytes]) -> None:
        write(self, end, entries)
        start = pack_start(end)
        assert start is not None
        for number in range(start, end + 1):
            self._store.delete(log_key(number))

    with replaced(Packs, write=write_and_delete):
        yield


# looking at running trials


@contextmanager
def progress_told_again() -> Iterator[None]:
    """What another attempt says of milestones is told whole, and not only what the log does not hold."""
    tell = hpo_pipe.coordinator.tick.progress_of
    seen: dict[SpecId, int] = {}

    def told(spec: SpecState, attempt: int, held: Held) -> Progress | None:
        another = seen.setdefault(spec.id, attempt) != attempt
        seen[spec.id] = attempt
        return tell(replace(spec, progress={}) if another else spec, attempt, held)

    with replaced(hpo_pipe.coordinator.tick, progress_of=told):
        yield
