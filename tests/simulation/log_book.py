"""The auditor's book of the log: every entry folded, replayed and compared with what the chains say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.errors import ProtocolViolation
from storage_schema.history import History
from storage_schema.records import (
    Entry,
    Finish,
    Issue,
    Link,
    LinkKind,
    Progress,
    RetryTrial,
    SettledSpec,
    StopTrial,
    Study,
)
from tests.simulation.data_book import DataBook

if TYPE_CHECKING:
    from tests.simulation.chain_book import ChainBook


class LogBook:
    """The log as it landed, entry by entry."""

    chains: ChainBook

    def __init__(self, study: Study, data: DataBook, fail: Callable[[str], None]) -> None:
        self.study = study
        self.entries: list[Entry] = []
        self.history = History(study)
        self.finished_at = -1
        """The newest entry that holds a finish."""
        self.stopped_at: dict[int, int] = {}
        """Trial to the newest entry that stops it."""
        self._data = data
        self._fail = fail
        self._view = View.of(self.history)
        self._issued: Counter[tuple[int, int]] = Counter()
        self._reissues: Counter[int] = Counter()

    def landed(self, number: int, data: bytes) -> None:
        """Check the entry that has landed."""
        if number != len(self.entries):
            self._fail(f"log entry {number} landed, and the next one is {len(self.entries)}")
            return
        entry = Entry.from_bytes(data, number)
        if entry.to_bytes() != data:
            self._fail(f"log entry {number} is not canonical")
        before = len(self.history.trials)
        if entry.facts is not None:
            for fact in entry.facts.settled:
                self._check_fact(fact, number)
            for progress in entry.facts.progress:
                self._check_progress(progress, number)
            try:
                expected = decide(self._view, entry.facts)
            except ProtocolViolation as error:
                self._fail(f"log entry {number} contradicts those before it: {error}")
                return
            if replace(entry, decisions=expected).to_bytes() != data:
                self._fail(f"log entry {number} does not replay: {entry.decisions}, expected {expected}")
        self._count(entry)
        try:
            self.history.fold(entry)
        except ProtocolViolation as error:
            self._fail(f"log entry {number} contradicts those before it: {error}")
        self.entries.append(entry)
        self._check_limits(entry, before)

    def _check_fact(self, fact: SettledSpec, number: int) -> None:
        links = self.chains.links(fact.spec)
        last = links[-1] if links else None
        if last is None or not last.settles or last.id.link != fact.link:
            self._fail(
                f"log entry {number} says that {fact.spec} ended with link {fact.link}; it ends with {last}"
            )
            return
        attempts = sum(link.kind is LinkKind.CLAIM for link in links)
        given_up = last.kind is LinkKind.STOP and attempts >= self.study.max_attempts
        outcome = "fail" if given_up else str(last.kind)
        told = (fact.outcome, fact.resource, fact.checkpoint, fact.attempts)
        true = (outcome, last.resource, last.checkpoint, attempts)
        if told != true:
            self._fail(f"log entry {number} says of {fact.spec} {told}; its chain says {true}")
        wall_s = sum(link.wall_s for link in links)
        if abs(fact.wall_s - wall_s) > 0.001:
            self._fail(
                f"log entry {number} says that {fact.spec} took {fact.wall_s} s; its chain says {wall_s}"
            )
        self._check_cost(fact, links, number)
        issue = self.chains.issue(fact.spec)
        assert issue is not None
        points = self._data.points(last.segments, issue.start)
        for metric in self.study.metrics:
            curve, whole = dict(fact.curves.get(metric.name, ())), points.get(metric.name, {})
            thinned = len(whole) > 64 and curve.items() <= whole.items()
            if curve != whole and not thinned:
                self._fail(f"log entry {number} says that the curve of {fact.spec} is {curve}; it is {whole}")

    def _check_cost(self, fact: SettledSpec, links: list[Link], number: int) -> None:
        """Check that every attempt is paid: by its holder's time; where another ended it, by what that one saw."""
        told = 0.0
        for claim, end in pairwise(links):
            if claim.kind is LinkKind.CLAIM:
                seconds = end.wall_s if end.author == claim.author else end.held_s
                told += seconds / int(dict(claim.machine)["slots"])
        if abs(fact.cost - told) > 0.001 or fact.priced != fact.attempts:
            self._fail(
                f"log entry {number} says that {fact.priced} attempts at {fact.spec} cost {fact.cost}; the links of "
                f"{fact.attempts} attempts say {told}"
            )

    def _check_progress(self, progress: Progress, number: int) -> None:
        """Check that what is told of a running spec is at its milestones, each once, and never of one that ended."""
        issue = self.chains.issue(progress.spec)
        links = self.chains.links(progress.spec)
        if issue is None or not any(link.kind is LinkKind.CLAIM for link in links):
            self._fail(f"log entry {number} tells of {progress.spec}, which nobody has claimed")
            return
        levels = self.study.resource.milestones if self.study.resource else ()
        for name, curve in progress.curves.items():
            known = self.history.specs[progress.spec].progress.get(name, ())
            told = [resource for resource, _ in (*known, *curve)]
            outside = not {*told} <= {level for level in levels if issue.start < level <= issue.to}
            if outside or told != sorted({*told}):
                self._fail(f"log entry {number} tells of {progress.spec} at {told}; milestones are {levels}")

    def _count(self, entry: Entry) -> None:
        """Check that a spec is issued once for each trial and rung, but for what is taken up again."""
        for fact in entry.facts.settled if entry.facts else ():
            if fact.outcome == "stop":
                self._reissues[self.history.specs[fact.spec].issue.trial] += 1
        for decision in entry.decisions:
            match decision:
                case Issue():
                    self._issued[decision.trial, decision.rung] += 1
                    if self._issued[decision.trial, decision.rung] > 1 + self._reissues[decision.trial]:
                        self._fail(f"trial {decision.trial} was issued twice for rung {decision.rung}")
                    if decision.checkpoint is not None and not self._data.whole(decision.checkpoint):
                        self.chains.missing(decision.checkpoint, f"log entry {entry.entry} starts from it")
                case RetryTrial():
                    self._reissues[decision.trial] += 1
                case StopTrial():
                    self.stopped_at[decision.trial] = entry.entry
                case Finish():
                    self.finished_at = entry.entry

    def _check_limits(self, entry: Entry, before: int) -> None:
        if entry.facts is None or not any(True for _ in entry.issues()):
            return
        limits, history = self.history.limits, self.history
        new = len(history.trials) > before
        if new and limits.trials is not None and len(history.trials) > limits.trials:
            self._fail(f"log entry {entry.entry} starts trial {len(history.trials)} of {limits.trials}")
        if limits.total_resource is not None and history.issued_resource > limits.total_resource:
            self._fail(
                f"log entry {entry.entry} gives out {history.issued_resource} of {limits.total_resource}"
            )
