"""All that is on record about one trial: the log's entries and the chains of its specs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hpo_pipe.coordinator.packs import PACK_ENTRIES, Packs
from storage_schema.chain import read_chain
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.history import History
from storage_schema.keys import SpecId, log_key
from storage_schema.records import Decision, Entry, Finish, Issue, Link, RetryTrial, SettledSpec, StopTrial
from storage_schema.store import Blob, Store
from storage_schema.trial_state import TrialState

READERS = 16
"""Requests at a time while a trial's part of the log is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that the log says about a trial."""

    entry: int
    author: str
    """``coordinator`` or ``user``."""
    what: Decision | SettledSpec
    spec: SpecId | None = None
    """The spec that an Issue made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The record of one trial."""

    events: tuple[Event, ...]
    """In the order of the log; within an entry, what was seen comes before what was decided."""
    chains: dict[SpecId, tuple[Link, ...]]


def trial_numbered(history: History, number: int) -> TrialState:
    """Return a trial; raises UserError where the study has none of that number."""
    if not 0 <= number < len(history.trials):
        count = len(history.trials)
        allowed = f"0 to {count - 1}" if count else "none so far"
        raise UserError(f"trial {number}: the study's trials are {allowed}")
    return history.trials[number]


def gather(store: Store, history: History, number: int) -> Evidence:
    """Read the record of trial `number`: the log from its first issue on, and its chains."""
    trial = trial_numbered(history, number)
    specs = [spec.id for spec in trial.specs]
    entries = read_entries(store, specs[0].entry, history.head)
    events = tuple(event for entry in entries for event in _about(entry, number, set(specs)))
    with ThreadPoolExecutor(READERS) as pool:
        chains = dict(zip(specs, pool.map(lambda spec: tuple(read_chain(store, spec)), specs), strict=True))
    return Evidence(events=events, chains=chains)


def read_entries(store: Store, first: int, head: int) -> Iterator[Entry]:
    """Yield the log entries `first` to `head`; raises DamagedRecord for one that is missing or unreadable."""
    packs = Packs(store)
    packs.look()
    place = first // PACK_ENTRIES * PACK_ENTRIES
    for entry, _ in packs.entries(place, until=head):
        if place >= first:
            yield entry
        place += 1
    with ThreadPoolExecutor(READERS) as pool:
        rest = range(max(place, first), head + 1)
        for number, blob in zip(rest, pool.map(lambda n: store.get(log_key(n)), rest), strict=True):
            if not isinstance(blob, Blob):
                raise DamagedRecord(log_key(number), "is missing, though a later entry exists")
            yield Entry.from_bytes(blob.data, number)


def _about(entry: Entry, number: int, specs: set[SpecId]) -> Iterator[Event]:
    for settled in entry.facts.settled if entry.facts else ():
        if settled.spec in specs:
            yield Event(entry=entry.entry, author=entry.author, what=settled)
    places = {id(issue): spec for spec, issue in entry.issues()}
    for decision in entry.decisions:
        match decision:
            case Issue() | StopTrial() | RetryTrial() if decision.trial != number:
                continue
            case Issue():
                yield Event(entry=entry.entry, author=entry.author, what=decision, spec=places[id(decision)])
            case StopTrial() | RetryTrial() | Finish():
                yield Event(entry=entry.entry, author=entry.author, what=decision)
            case _:
                continue
