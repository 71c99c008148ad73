"""The proof that a study was decided as it says: every entry again, from the entries before it and its own facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Decision, Entry, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An entry that says something else than what follows from the log before it."""

    entry: int
    recorded: tuple[Decision, ...]
    expected: tuple[Decision, ...]


def replay(study: Study, entries: Iterable[Entry]) -> Iterator[Mismatch]:
    """Yield each of a coordinator's entries that :func:`~hpo_pipe.decide.decide` would not have written.

    Args:
        study: the study.
        entries: its log from entry 0 on, in order.

    Raises:
        ProtocolViolation: the log contradicts itself.
    """
    view = View.of(History(study))
    for entry in entries:
        if entry.facts is not None:
            expected = decide(view, entry.facts)
            if replace(entry, decisions=expected).to_bytes() != entry.to_bytes():
                yield Mismatch(entry=entry.entry, recorded=entry.decisions, expected=expected)
        view.history.fold(entry)
