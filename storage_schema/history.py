"""The pure fold of the log: what every reader of entries 0..n agrees on.

A History is a value built by :meth:`History.fold`, one entry after another. Decisions are tried out on it inside
:meth:`History.draft`, which takes back on exit whatever was folded in it, so that deciding leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage_schema.codec import Json
from storage_schema.errors import Contradiction, ProtocolViolation
from storage_schema.folding import fold_decision, fold_facts
from storage_schema.journal import Journal
from storage_schema.keys import SpecId, log_key
from storage_schema.records import Curve, Decision, Entry, Facts, Issue, Limits, Study
from storage_schema.rung import Rung
from storage_schema.trial_state import Seen, SpecState, TrialState


class History:
    """The state of a study after some prefix of its log."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.head = -1
        """The newest entry folded."""
        self.trials: list[TrialState] = []
        self.specs: dict[SpecId, SpecState] = {}
        self.open: dict[SpecId, SpecState] = {}
        """Specs that are not settled, in the order of issue."""
        levels = study.resource.rungs if study.resource else (1,)
        self.rungs = [Rung(level) for level in levels]
        self.limits: Limits = study.limits
        self.paused = False
        self.finished: str | None = None
        """The reason, once the study has ended."""
        self.finished_entry: int | None = None
        self.queue: list[dict[str, Json]] = [dict(c) for c in study.enqueued]
        """Configurations that users want tried, in order."""
        self.reissue: list[int] = []
        """Trials whose newest spec ended without a result that counts and that are to go on: retried ones, and
        those that were stopped only because the study had ended."""
        self.best_seen: Seen | None = None
        self.started_at: float | None = None
        """Seconds, the store's clock, of the first fact."""
        self.now = 0.0
        self.issued_resource = 0
        self.wall_s = 0.0
        self.gpu_s = 0.0
        self.cost = 0.0
        """Dollars: of settled specs, as far as their machines have a price."""
        self.open_cost = 0.0
        """Dollars of open specs when the newest facts were seen; told only where the study has a budget."""
        self.unpriced = 0
        """Attempts at settled specs whose cost is not known, and not in :attr:`cost`."""
        self.news: tuple[tuple[int, int], ...] = ()
        """(trial, resource) of what the newest facts report of open specs."""
        self.touched: list[int] = []
        """The trials that changed, in the order of the changes, those that a draft took back included: who keeps
        something for each trial reads on from where it stopped, and looks at these again."""
        self._sign = 1.0 if study.objective.goal == "minimize" else -1.0
        self._journal = Journal()

    @property
    def spent(self) -> float:
        """Dollars of training, as far as the log tells: what the budget is held against."""
        return self.cost + self.open_cost

    @property
    def closed(self) -> bool:
        """Whether the study has ended and every spec is settled."""
        return self.finished is not None and not self.open

    def loss(self, value: float | None) -> float:
        """Return `value` of the objective as a loss: smaller is better, +inf where it is not finite."""
        return math.inf if value is None or not math.isfinite(value) else self._sign * value

    def value(self, loss: float) -> float:
        """Return the objective's value of a loss."""
        return self._sign * loss

    def state(self, trial: TrialState) -> str:
        """Return OPEN, COMPLETE, PRUNED, FAILED or PAUSED; heartbeats tell WAITING from RUNNING within OPEN."""
        settled = trial.last.settled
        if settled is None:
            return "OPEN"
        if settled.outcome == "done" and trial.rung == len(self.rungs) - 1:
            return "COMPLETE"
        if settled.outcome == "fail":
            return "FAILED"
        if trial.stopped or self.finished is not None:
            return "PRUNED"
        return "PAUSED"

    def best(self) -> TrialState | None:
        """Return the incumbent: the best trial of the highest rung that has a finite value."""
        for rung in reversed(self.rungs):
            if rung.ranking and math.isfinite(rung.ranking[0][0]):
                return self.trials[rung.ranking[0][1]]
        return None

    def fold(self, entry: Entry) -> None:
        """Add the next entry.

        Raises:
            ProtocolViolation: not the next entry.
            Contradiction: it contradicts those before it; the history is of no use any more.
        """
        if entry.entry != self.head + 1:
            raise ProtocolViolation(f"log entry {entry.entry} folded after {self.head}")
        self.change("news", ())
        try:
            if entry.facts:
                self.fold_facts(entry.facts)
            for decision in entry.decisions:
                self.fold_decision(decision)
        except ProtocolViolation as error:
            raise Contradiction(log_key(entry.entry), str(error)) from None
        self.change("head", entry.entry)

    @contextmanager
    def draft(self) -> Iterator[None]:
        """Take back on exit everything that is folded inside. Not nested."""
        with self._journal.kept():
            yield

    def fold_facts(self, facts: Facts) -> None:
        """Add what a coordinator saw."""
        fold_facts(self, facts)

    def fold_decision(self, decision: Decision) -> None:
        """Add one decision; an Issue belongs to the entry after :attr:`head`."""
        fold_decision(self, decision)

    def measured(self, issue: Issue, curve: Curve) -> float | None:
        """Return a spec's result: the last value at or before its target; without a resource, the last one."""
        top = issue.to if self.study.resource else math.inf
        return next((value for resource, value in reversed(curve) if resource <= top), None)

    # for the fold: every change can be taken back

    def change(self, name: str, value: object) -> None:
        """Set an attribute."""
        before = getattr(self, name)
        setattr(self, name, value)
        self.note(lambda: setattr(self, name, before))

    def touch(self, trial: int) -> None:
        """Say that a trial changes."""
        self.touched.append(trial)
        self.note(lambda: self.touched.append(trial))

    def note(self, undo: Callable[[], object]) -> None:
        """Remember how to undo a change that was just made."""
        self._journal.note(undo)

    @property
    def drafting(self) -> bool:
        """Whether changes are to be undone."""
        return self._journal.open
