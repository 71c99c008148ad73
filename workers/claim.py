"""Claiming: from a line of the board to an attempt that this worker holds (PROTOCOL.md, 5.3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from storage_schema.chain import next_link_number, read_chain, read_link
from storage_schema.errors import StoreUnavailable
from storage_schema.keys import LinkId, SpecId, log_key
from storage_schema.records import Entry, Issue, Link, LinkKind, OpenSpec, Study
from storage_schema.store import Blob, create_settled
from workers.board import BoardReader
from workers.budget import PriceWanted, priced
from workers.lease import Holding, Lease
from workers.start import Start, starts
from workers.world import World

MAX_TRIES = 64
"""Lines that are tried before the board is read again."""
MAX_ENTRIES = 64
"""Log entries that are kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A spec that this worker holds, and where its training may start."""

    spec: SpecId
    issue: Issue
    holding: Holding
    chain: tuple[Link, ...]
    """What was there before the claim."""
    start: Start
    """The one that the claim names."""
    further: Iterator[Start]
    """What to fall back on if its files turn out damaged."""


class Desk:
    """Where slots come for work. Several slots may claim at the same time."""

    def __init__(
        self,
        world: World,
        study: Study,
        board: BoardReader,
        lease: Lease,
        *,
        max_age_s: float,
        stopping: Callable[[], bool],
        give_up: Callable[[], bool],
    ) -> None:
        """Open the desk.

        Args:
            world, study, board, lease: the worker's.
            max_age_s: the board is read again before a claim if it is older.
            stopping: whether no new claim is to be begun.
            give_up: whether a claim that was sent and not answered is waited for no longer.
        """
        self._world = world
        self._study = study
        self._board = board
        self._lease = lease
        self._max_age_s = max_age_s
        self._stopping = stopping
        self._give_up = give_up
        self._priced = priced(lease.machine_facts)
        self._entries: OrderedDict[int, Entry] = OrderedDict()

    def claim(self, here: Collection[int]) -> Claimed | None:
        """Win a spec, or return None where nothing is open; trials in `here` have a checkpoint on this machine.

        Raises:
            StoreUnavailable: try again later.
            PriceWanted: the study has a budget, and this machine has no price.
        """
        self._board.refresh(self._max_age_s)
        if self._board.paused:
            return None
        if self._board.budget and not self._priced:
            raise PriceWanted("the study has a budget")
        lost = False
        for _ in range(MAX_TRIES):
            line = self._board.pick(here, self._world.rng)
            if line is None or self._stopping():
                return None
            try:
                claimed = self._try(line, look_first=lost)
            except StoreUnavailable:
                # A claim that was given up may still have landed: then the next try finds the place taken, by one
                # whom no heartbeat names, and the spec is open again after a fence. Without a next try a lone
                # worker would leave the spec waiting for ever.
                self._board.put_back(line)
                raise
            if claimed is not None:
                return claimed
            lost = True
        return None

    def _try(self, line: OpenSpec, *, look_first: bool) -> Claimed | None:
        issue = self._issue(line)
        if issue is None:
            return None
        chain = self._chain(line, look_first=look_first)
        if chain is None:
            return None
        places = starts(self._world.store, self._study, line.spec, issue, chain, self._world.say)
        start = next(places)
        link = self._link(line.spec, chain[-1] if chain else None, start)
        since = self._world.clock.monotonic()
        patience = self._world.patience(self._give_up, self._study.timing.lease_s)
        settled = create_settled(self._world.store, link.key, link.to_bytes(), wait=patience)
        if not settled.mine:
            return None
        return Claimed(
            spec=line.spec,
            issue=issue,
            holding=self._lease.hold(link, issue.trial, since),
            chain=tuple(chain),
            start=start,
            further=places,
        )

    def _issue(self, line: OpenSpec) -> Issue | None:
        """Return the issue that the log bears out for a line of the board, or None."""
        entry = self._entry(line.spec.entry)
        issued = dict(entry.issues()) if entry else {}
        issue = issued.get(line.spec)
        return issue if issue is not None and issue.trial == line.trial else None

    def _entry(self, number: int) -> Entry | None:
        entry = self._entries.get(number)
        if entry is None:
            found = self._world.store.get(log_key(number))
            if not isinstance(found, Blob):
                return None
            entry = self._entries[number] = Entry.from_bytes(found.data, number)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return entry

    def _chain(self, line: OpenSpec, *, look_first: bool) -> list[Link] | None:
        """Return the links so far, or None where the spec cannot be claimed."""
        if line.next_link == 1:
            taken = look_first and read_link(self._world.store, LinkId(line.spec, 1)) is not None
            return None if taken else []
        chain = read_chain(self._world.store, line.spec)
        return chain if chain and chain[-1].opens else None

    def _link(self, spec: SpecId, last: Link | None, start: Start) -> Link:
        return Link(
            kind=LinkKind.CLAIM,
            id=LinkId(spec, next_link_number(last)),
            token=self._world.token(),
            author=self._lease.worker,
            failures=last.failures if last else 0,
            at=self._world.clock.now(),
            checkpoint=start.checkpoint,
            machine=self._lease.machine_facts,
        )
