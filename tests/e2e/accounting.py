"""The books of a finished study: every trial accounted for exactly once, or a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hpo_pipe.coordinator.log import read_study
from hpo_pipe.replay import replay
from storage_schema.chain import read_chain
from storage_schema.codec import sha256
from storage_schema.history import History
from storage_schema.keys import CHAIN, LOG, SpecId, log_key, parse_link_key, parse_log_key
from storage_schema.records import Entry, LinkKind, Study
from storage_schema.store import Blob, Store
from tests.e2e.lineage import begun_at

Expected = Callable[[History, int, int], float]
"""What a trial, by its number, must report after that many units, bit for bit."""


def read_log(store: Store) -> list[Entry]:
    """Return all entries, read one by one (no snapshot, no listing)."""
    entries: list[Entry] = []
    while isinstance(blob := store.get(log_key(len(entries))), Blob):
        entries.append(Entry.from_bytes(blob.data, len(entries)))
    return entries


def audit(store: Store, expected: Expected | None = None) -> list[str]:
    """Return every violation of what a finished study promises; an empty list is a clean book."""
    study, entries = read_study(store), read_log(store)
    history = History(study)
    for entry in entries:
        history.fold(entry)
    problems = [f"entry {m.entry} does not replay" for m in replay(study, entries)]
    problems += _log_is_contiguous(store, len(entries))
    problems += _every_spec_ends_once(store, history)
    problems += _nothing_was_issued_twice(entries)
    if not history.closed:
        problems.append(f"the study is not over: {list(map(str, history.open))} are open")
    if expected is not None:
        problems += _curves_are_right(store, study, history, expected)
    return problems


def _log_is_contiguous(store: Store, count: int) -> Iterator[str]:
    numbers = [parse_log_key(stat.key) for stat in store.list(LOG)]
    if numbers != list(range(count)):
        yield f"the log holds {numbers}, read were {count}"


def _every_spec_ends_once(store: Store, history: History) -> Iterator[str]:
    listed: dict[SpecId, list[int]] = {}
    for stat in store.list(CHAIN):
        link = parse_link_key(stat.key)
        if link is None:
            yield f"{stat.key} is no link"
        else:
            listed.setdefault(link.spec, []).append(link.link)
    yield from (f"chain of {spec}, which was never issued" for spec in listed.keys() - history.specs.keys())
    for spec, state in history.specs.items():
        chain = read_chain(store, spec)  # raises where a link does not follow the one before it
        if listed.get(spec) != list(range(1, len(chain) + 1)):
            yield f"chain of {spec} has the links {listed.get(spec)}"
        if sum(link.settles for link in chain) != 1 or not chain[-1].settles:
            yield f"chain of {spec} ends {sum(link.settles for link in chain)} times"
        elif state.settled is None or state.settled.link != chain[-1].id.link:
            yield f"the log says of {spec}: {state.settled}; its chain ends with link {chain[-1].id.link}"


def _nothing_was_issued_twice(entries: list[Entry]) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    numbers: list[int] = []
    for entry in entries:
        for _, issue in entry.issues():
            if (issue.trial, issue.rung) in seen:
                yield f"trial {issue.trial} was issued twice for rung {issue.rung}"
            seen.add((issue.trial, issue.rung))
            if issue.trial not in numbers:
                numbers.append(issue.trial)
    if numbers != list(range(len(numbers))):
        yield f"trials were numbered {numbers}"


def _curves_are_right(store: Store, study: Study, history: History, expected: Expected) -> Iterator[str]:
    told = study.resource.milestones if study.resource else ()  # what a stopped trial has said on its way
    for trial in history.trials:
        curve = dict(trial.curve(study.objective.name))
        reached = trial.resource
        counted = sorted(resource for resource in curve if resource <= reached or resource not in told)
        if counted != list(range(begun_at(history, trial.number) + 1, reached + 1)):
            yield f"trial {trial.number} reached {reached} and has the points {sorted(curve)}"
        wrong = {r: (v, e) for r, v in curve.items() if v != (e := expected(history, trial.number, r))}
        if wrong:
            yield f"trial {trial.number} reported other values than an undisturbed run: {wrong}"
    for spec in history.specs.values():
        last = read_chain(store, spec.id)[-1]
        if last.kind is LinkKind.DONE:
            for ref in last.segments:
                blob = store.get(ref.key)
                if not isinstance(blob, Blob) or sha256(blob.data) != ref.sha256:
                    yield f"{ref.key}, which the record names, is missing or damaged"
