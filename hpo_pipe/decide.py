"""The decision: from a study's history and what a coordinator saw, what its next log entry says. A pure function."""

from __future__ import annotations

from collections.abc import Iterator

from hpo_pipe.advance import stalled
from hpo_pipe.moves import Over, Planner
from hpo_pipe.view import View
from storage_schema.codec import encode
from storage_schema.keys import MAX_INDEX
from storage_schema.records import Decision, Facts, Finish, Issue

ORDINARY_BYTES = 4096
"""Parameters of so many bytes count as one decision."""
MAX_DECISIONS = MAX_INDEX + 1
"""Per entry: a spec's place in its entry has three digits."""


def decide(view: View, facts: Facts) -> tuple[Decision, ...]:
    """Return the decisions of the entry after the history's head, whose facts are `facts`.

    The history is left as it was. The same history and facts give the same decisions in every process. Trials that
    were interrupted by the end of the study go on first, then come promotions and new trials until `facts.demand`
    specs are open, as far as the limits allow. Nothing is decided for a study that has finished.
    """
    with view.history.draft():
        view.history.fold_facts(facts)
        return tuple(_decisions(view, facts.demand))


def _decisions(view: View, demand: int) -> Iterator[Decision]:
    history = view.history
    if history.finished is not None:
        return
    if ended := reached_limit(view):
        yield Finish(reason=ended)
        return
    planner = Planner(view)
    for stop in planner.judged():
        history.fold_decision(stop)
        yield stop
    if history.paused:
        return
    left = MAX_DECISIONS
    for trial in list(history.reissue):
        issue = planner.reissue(trial)
        if issue is not None and left > 0:
            history.fold_decision(issue)
            yield issue
            left -= _cost(issue)
    while left > 0 and (len(history.open) < demand or not history.open):
        answer = planner.next()
        if isinstance(answer, Over):
            if not history.open:
                yield Finish(reason=answer.reason)
            return
        if answer is None or len(history.open) >= demand:
            return
        history.fold_decision(answer)
        yield answer
        left -= _cost(answer)


def _cost(decision: Decision) -> int:
    """Return for how many decisions of ordinary size this one counts: an entry has bounds in bytes, too."""
    return 1 + (
        len(encode(dict(decision.parameters))) // ORDINARY_BYTES if isinstance(decision, Issue) else 0
    )


def reached_limit(view: View) -> str:
    """Return why the study must end now (target, wall time, GPU-hours, budget, no progress), or an empty string."""
    history = view.history
    limits, best = history.limits, history.best_seen
    name = history.study.objective.name
    if limits.target is not None and best is not None and best.loss <= history.loss(limits.target):
        found = f"trial {best.trial} reported {history.value(best.loss):.6g} at {best.resource}"
        return f"the target {limits.target:.6g} of {name} was reached: {found}"
    elapsed = history.now - (history.now if history.started_at is None else history.started_at)
    if limits.wall_s is not None and elapsed >= limits.wall_s:
        return f"the wall-time limit of {limits.wall_s:g} s was reached"
    if limits.gpu_hours is not None and history.gpu_s >= limits.gpu_hours * 3600:
        return f"the limit of {limits.gpu_hours:g} GPU-hours was reached"
    if limits.cost is not None and history.spent >= limits.cost:
        return f"the budget of ${limits.cost:,.2f} was reached: training has cost ${history.spent:,.2f}"
    return stalled(view)
