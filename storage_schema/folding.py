"""How the fold of the log goes, step by step (PROTOCOL.md, 5.10)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from storage_schema.errors import ProtocolViolation
from storage_schema.keys import SpecId
from storage_schema.records import Curve, Decision, Facts, Issue, Progress, SettledSpec, log
from storage_schema.trial_state import Seen, SpecState, TrialState

if TYPE_CHECKING:
    from storage_schema.history import History


def fold_facts(history: History, facts: Facts) -> None:
    """Add what a coordinator saw."""
    if history.started_at is None:
        history.change("started_at", facts.now)
    history.change("now", max(history.now, facts.now))
    history.change("open_cost", facts.open_cost)
    for settled in facts.settled:
        _settle(history, settled)
    history.change("news", tuple(news for progress in facts.progress for news in _report(history, progress)))


def fold_decision(history: History, decision: Decision) -> None:
    """Add one decision; an Issue belongs to the entry after :attr:`head`."""
    match decision:
        case Issue():
            _issue(history, decision)
        case log.StopTrial():
            _stop(history, _trial(history, decision.trial), decision.reason)
        case log.RetryTrial():
            _retry(history, _trial(history, decision.trial))
        case log.Enqueue():
            history.change("queue", [*history.queue, dict(decision.parameters)])
        case log.SetLimits():
            history.change("limits", decision.limits)
            _reopen(history)
        case log.Pause():
            history.change("paused", True)
        case log.Resume():
            history.change("paused", False)
            _reopen(history)
        case log.Finish():
            history.change("finished", decision.reason)
            history.change("finished_entry", history.head + 1)


def _issue(history: History, issue: Issue) -> None:
    if issue.rung >= len(history.rungs) or issue.start >= issue.to:
        what = f"from {issue.start} to {issue.to}, in rung {issue.rung} of {len(history.rungs)}"
        raise ProtocolViolation(f"trial {issue.trial} was issued {what}")
    spec = SpecState(id=SpecId(history.head + 1, _issued_in_entry(history)), issue=issue)
    if issue.trial == len(history.trials):
        _new_trial(history, issue)
    trial = _trial(history, issue.trial)
    if trial.specs and trial.open:
        raise ProtocolViolation(f"trial {issue.trial} was issued again while {trial.last.id} is open")
    if issue.trial in history.reissue:
        history.change("reissue", [t for t in history.reissue if t != issue.trial])
    elif trial.specs:
        _promote(history, trial, issue)
    trial.specs.append(spec)
    history.specs[spec.id] = spec
    history.open[spec.id] = spec
    history.touch(issue.trial)
    history.note(lambda: (trial.specs.pop(), history.specs.pop(spec.id), history.open.pop(spec.id)))
    history.change("issued_resource", history.issued_resource + issue.to - issue.start)


def _issued_in_entry(history: History) -> int:
    newest = next(reversed(history.specs), None)
    return newest.index + 1 if newest is not None and newest.entry == history.head + 1 else 0


def _new_trial(history: History, issue: Issue) -> None:
    if issue.parent is not None:
        _check_parent(history, issue, issue.parent)
    history.trials.append(
        TrialState(
            number=issue.trial,
            parameters=dict(issue.parameters),
            origin=issue.origin,
            bracket=issue.bracket,
            parent=issue.parent,
        )
    )
    history.note(history.trials.pop)
    if issue.origin == "enqueued" and history.queue:
        history.change("queue", history.queue[1:])


def _check_parent(history: History, issue: Issue, parent: int) -> None:
    """A clone starts where a checkpoint ends that a spec of its parent has left."""
    committed = set(_trial(history, parent).checkpoints())
    if (
        issue.checkpoint is None
        or issue.checkpoint not in committed
        or issue.start != issue.checkpoint.resource
    ):
        what = f"trial {issue.trial} was issued from a checkpoint of trial {parent}"
        raise ProtocolViolation(f"{what} that the log does not know, or not from where it ends")


def _promote(history: History, trial: TrialState, issue: Issue) -> None:
    rung = history.rungs[trial.rung]
    if issue.rung <= trial.rung or trial.number in rung.promoted:
        raise ProtocolViolation(f"trial {trial.number} was promoted from rung {trial.rung} twice")
    rung.promote(trial.number)
    history.note(lambda: rung.unpromote(trial.number))


def _report(history: History, progress: Progress) -> list[tuple[int, int]]:
    """Add what an open spec reports on its way; return (trial, resource) of each point."""
    spec = history.specs.get(progress.spec)
    if spec is None or spec.settled is not None:
        what = "never issued" if spec is None else "settled already"
        raise ProtocolViolation(f"spec {progress.spec}, of which progress is told, was {what}")
    before, at = spec.progress, spec.progress_at
    spec.progress = {name: (*before.get(name, ()), *curve) for name, curve in progress.curves.items()} | {
        name: curve for name, curve in before.items() if name not in progress.curves
    }
    objective = progress.curves.get(history.study.objective.name, ())
    if objective:
        spec.progress_at = (*at, (objective[-1][0], history.head + 1))

    def undo() -> None:
        spec.progress, spec.progress_at = before, at

    history.note(undo)
    history.touch(spec.issue.trial)
    _see(history, spec, objective)
    return [(spec.issue.trial, resource) for resource, _ in objective]


def _settle(history: History, settled: SettledSpec) -> None:
    spec = history.specs.get(settled.spec)
    if spec is None or spec.settled is not None:
        what = "never issued" if spec is None else "settled twice"
        raise ProtocolViolation(f"spec {settled.spec} was {what}")
    before = history.open.copy() if history.drafting else history.open
    spec.settled, spec.settled_at = settled, history.head + 1
    del history.open[spec.id]
    history.note(lambda: _unsettle(history, spec, before))
    history.change("wall_s", history.wall_s + settled.wall_s)
    history.change("gpu_s", history.gpu_s + settled.gpu_s)
    history.change("cost", history.cost + settled.cost)
    history.change("unpriced", history.unpriced + settled.unpriced)
    _see(history, spec, settled.curves.get(history.study.objective.name, ()))
    trial = history.trials[spec.issue.trial]
    history.touch(trial.number)
    if settled.outcome == "stop" and not trial.stopped:
        history.change("reissue", [*history.reissue, trial.number])
    _enter_rung(history, trial, spec, settled)


def _unsettle(history: History, spec: SpecState, before: dict[SpecId, SpecState]) -> None:
    spec.settled, spec.settled_at = None, -1
    history.open = before  # in the order of issue, as it was


def _enter_rung(history: History, trial: TrialState, spec: SpecState, settled: SettledSpec) -> None:
    curve = settled.curves.get(history.study.objective.name, ())
    if settled.outcome == "stop":
        return
    if settled.outcome == "fail" and spec.issue.rung == trial.specs[0].issue.rung and not curve:
        return  # crashed before its first rung and never reported: no member (ASHA, Alg. 2's |rung|)
    loss = math.inf if settled.outcome == "fail" else history.loss(history.measured(spec.issue, curve))
    rung = history.rungs[spec.issue.rung]
    rung.add(trial.number, loss)
    history.note(lambda: rung.remove(trial.number))
    if trial.stopped:
        rung.drop(trial.number)


def _see(history: History, spec: SpecState, curve: Curve) -> None:
    for resource, value in curve:
        loss = history.loss(value)
        better = math.isfinite(loss) and (history.best_seen is None or loss < history.best_seen.loss)
        if better and _within_bounds(history, spec, resource):
            history.change("best_seen", Seen(loss, spec.issue.trial, resource))


def _within_bounds(history: History, spec: SpecState, resource: int) -> bool:
    """Tell whether every metric with bounds keeps them at its last value at or before a resource."""
    for metric in history.study.bounded:
        told = (value for at, value in reversed(spec.curve(metric.name)) if at <= resource)
        if metric.excess(next(told, None)):
            return False
    return True


def _stop(history: History, trial: TrialState, reason: str) -> None:
    before = trial.stopped
    trial.stopped = reason
    history.touch(trial.number)
    rung = history.rungs[trial.rung]
    was_waiting = not before and trial.number in rung and trial.number not in rung.promoted
    rung.drop(trial.number)

    def undo() -> None:
        trial.stopped = before
        if was_waiting:
            rung.restore(trial.number)

    history.note(undo)
    if trial.number in history.reissue:
        history.change("reissue", [t for t in history.reissue if t != trial.number])


def _retry(history: History, trial: TrialState) -> None:
    if trial.open or trial.number in history.reissue or not (trial.failed or trial.stopped):
        return
    before, rung = trial.stopped, history.rungs[trial.rung]
    trial.stopped = ""
    history.touch(trial.number)
    history.note(lambda: setattr(trial, "stopped", before))
    settled = trial.last.settled
    if settled is not None and settled.outcome == "done":
        rung.restore(trial.number)
        history.note(lambda: rung.drop(trial.number))
        return
    if trial.number in rung:
        loss = rung.loss(trial.number)
        rung.remove(trial.number)
        history.note(lambda: rung.add(trial.number, loss))
    history.change("reissue", [*history.reissue, trial.number])
    _reopen(history)


def _reopen(history: History) -> None:
    history.change("finished", None)
    history.change("finished_entry", None)


def _trial(history: History, number: int) -> TrialState:
    if not 0 <= number < len(history.trials):
        raise ProtocolViolation(f"trial {number} is named before it was issued")
    return history.trials[number]
