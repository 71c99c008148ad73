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
from storage_schema.journal import Journal
from storage_schema.keys import SpecId, log_key
from storage_schema.records import (
    Curve,
    Decision,
    Enqueue,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    SettledSpec,
    StopTrial,
    Study,
)
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
        self.touched: list[int] = []
        """The trials that changed, in the order of the changes, those that a draft took back included: who keeps
        something for each trial reads on from where it stopped, and looks at these again."""
        self._sign = 1.0 if study.objective.goal == "minimize" else -1.0
        self._journal = Journal()

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
        try:
            if entry.facts:
                self.fold_facts(entry.facts)
            for decision in entry.decisions:
                self.fold_decision(decision)
        except ProtocolViolation as error:
            raise Contradiction(log_key(entry.entry), str(error)) from None
        self._set("head", entry.entry)

    @contextmanager
    def draft(self) -> Iterator[None]:
        """Take back on exit everything that is folded inside. Not nested."""
        with self._journal.kept():
            yield

    def fold_facts(self, facts: Facts) -> None:
        """Add what a coordinator saw."""
        if self.started_at is None:
            self._set("started_at", facts.now)
        self._set("now", max(self.now, facts.now))
        for settled in facts.settled:
            self._settle(settled)

    def fold_decision(self, decision: Decision) -> None:
        """Add one decision; an Issue belongs to the entry after :attr:`head`."""
        match decision:
            case Issue():
                self._issue(decision)
            case StopTrial():
                self._stop(self._trial(decision.trial), decision.reason)
            case RetryTrial():
                self._retry(self._trial(decision.trial))
            case Enqueue():
                self._set("queue", [*self.queue, dict(decision.parameters)])
            case SetLimits():
                self._set("limits", decision.limits)
                self._reopen()
            case Pause():
                self._set("paused", True)
            case Resume():
                self._set("paused", False)
                self._reopen()
            case Finish():
                self._set("finished", decision.reason)
                self._set("finished_entry", self.head + 1)

    def _issue(self, issue: Issue) -> None:
        if issue.rung >= len(self.rungs) or issue.start >= issue.to:
            what = f"from {issue.start} to {issue.to}, in rung {issue.rung} of {len(self.rungs)}"
            raise ProtocolViolation(f"trial {issue.trial} was issued {what}")
        spec = SpecState(id=SpecId(self.head + 1, self._issued_in_entry()), issue=issue)
        if issue.trial == len(self.trials):
            self._new_trial(issue)
        trial = self._trial(issue.trial)
        if trial.specs and trial.open:
            raise ProtocolViolation(f"trial {issue.trial} was issued again while {trial.last.id} is open")
        if issue.trial in self.reissue:
            self._set("reissue", [t for t in self.reissue if t != issue.trial])
        elif trial.specs:
            self._promote(trial, issue)
        trial.specs.append(spec)
        self.specs[spec.id] = spec
        self.open[spec.id] = spec
        self._touch(issue.trial)
        self._undo(lambda: (trial.specs.pop(), self.specs.pop(spec.id), self.open.pop(spec.id)))
        self._set("issued_resource", self.issued_resource + issue.to - issue.start)

    def _issued_in_entry(self) -> int:
        newest = next(reversed(self.specs), None)
        return newest.index + 1 if newest is not None and newest.entry == self.head + 1 else 0

    def _new_trial(self, issue: Issue) -> None:
        self.trials.append(
            TrialState(
                number=issue.trial,
                parameters=dict(issue.parameters),
                origin=issue.origin,
                bracket=issue.bracket,
            )
        )
        self._undo(self.trials.pop)
        if issue.origin == "enqueued" and self.queue:
            self._set("queue", self.queue[1:])

    def _promote(self, trial: TrialState, issue: Issue) -> None:
        rung = self.rungs[trial.rung]
        if issue.rung <= trial.rung or trial.number in rung.promoted:
            raise ProtocolViolation(f"trial {trial.number} was promoted from rung {trial.rung} twice")
        rung.promote(trial.number)
        self._undo(lambda: rung.unpromote(trial.number))

    def _settle(self, settled: SettledSpec) -> None:
        spec = self.specs.get(settled.spec)
        if spec is None or spec.settled is not None:
            what = "never issued" if spec is None else "settled twice"
            raise ProtocolViolation(f"spec {settled.spec} was {what}")
        order = list(self.open) if self._journal.open else []
        spec.settled, spec.settled_at = settled, self.head + 1
        del self.open[spec.id]
        self._undo(lambda: self._unsettle(spec, order))
        self._set("wall_s", self.wall_s + settled.wall_s)
        self._set("gpu_s", self.gpu_s + settled.gpu_s)
        self._see(spec, settled)
        trial = self.trials[spec.issue.trial]
        self._touch(trial.number)
        if settled.outcome == "stop" and not trial.stopped:
            self._set("reissue", [*self.reissue, trial.number])
        self._enter_rung(trial, spec, settled)

    def _unsettle(self, spec: SpecState, order: list[SpecId]) -> None:
        spec.settled, spec.settled_at = None, -1
        self.open = {id: self.specs[id] for id in order}

    def _enter_rung(self, trial: TrialState, spec: SpecState, settled: SettledSpec) -> None:
        curve = settled.curves.get(self.study.objective.name, ())
        if settled.outcome == "stop":
            return
        if settled.outcome == "fail" and spec.issue.rung == trial.specs[0].issue.rung and not curve:
            return  # crashed before its first rung and never reported: no member (ASHA, Alg. 2's |rung|)
        loss = math.inf if settled.outcome == "fail" else self.loss(self.measured(spec.issue, curve))
        rung = self.rungs[spec.issue.rung]
        rung.add(trial.number, loss)
        self._undo(lambda: rung.remove(trial.number))
        if trial.stopped:
            rung.drop(trial.number)

    def measured(self, issue: Issue, curve: Curve) -> float | None:
        """Return a spec's result: the last value at or before its target; without a resource, the last one."""
        top = issue.to if self.study.resource else math.inf
        return next((value for resource, value in reversed(curve) if resource <= top), None)

    def _see(self, spec: SpecState, settled: SettledSpec) -> None:
        for resource, value in settled.curves.get(self.study.objective.name, ()):
            loss = self.loss(value)
            if math.isfinite(loss) and (self.best_seen is None or loss < self.best_seen.loss):
                self._set("best_seen", Seen(loss, spec.issue.trial, resource))

    def _stop(self, trial: TrialState, reason: str) -> None:
        before = trial.stopped
        trial.stopped = reason
        self._touch(trial.number)
        rung = self.rungs[trial.rung]
        was_waiting = not before and trial.number in rung and trial.number not in rung.promoted
        rung.drop(trial.number)

        def undo() -> None:
            trial.stopped = before
            if was_waiting:
                rung.restore(trial.number)

        self._undo(undo)
        if trial.number in self.reissue:
            self._set("reissue", [t for t in self.reissue if t != trial.number])

    def _retry(self, trial: TrialState) -> None:
        if trial.open or trial.number in self.reissue or not (trial.failed or trial.stopped):
            return
        before, rung = trial.stopped, self.rungs[trial.rung]
        trial.stopped = ""
        self._touch(trial.number)
        self._undo(lambda: setattr(trial, "stopped", before))
        settled = trial.last.settled
        if settled is not None and settled.outcome == "done":
            rung.restore(trial.number)
            self._undo(lambda: rung.drop(trial.number))
            return
        if trial.number in rung:
            loss = rung.loss(trial.number)
            rung.remove(trial.number)
            self._undo(lambda: rung.add(trial.number, loss))
        self._set("reissue", [*self.reissue, trial.number])
        self._reopen()

    def _reopen(self) -> None:
        self._set("finished", None)
        self._set("finished_entry", None)

    def _trial(self, number: int) -> TrialState:
        if not 0 <= number < len(self.trials):
            raise ProtocolViolation(f"trial {number} is named before it was issued")
        return self.trials[number]

    def _touch(self, trial: int) -> None:
        self.touched.append(trial)
        self._undo(lambda: self.touched.append(trial))

    def _set(self, name: str, value: object) -> None:
        before = getattr(self, name)
        setattr(self, name, value)
        self._undo(lambda: setattr(self, name, before))

    def _undo(self, action: Callable[[], object]) -> None:
        self._journal.note(action)
