"""The best configurations of other studies, tried first."""

from __future__ import annotations

from hpo_pipe.order import told
from hpo_pipe.outcomes import outcome
from hpo_pipe.searchers.tried import tried
from hpo_pipe.transfer.points import at, reach
from hpo_pipe.transfer.rows import First, borrowed
from hpo_pipe.view import Suggestion, View

ORIGIN = "warm_start"


def next_first(view: View) -> Suggestion | None:
    """Return the next of the other studies' best configurations that was not tried, or None after the last one."""
    if view.study.warm_start is None:
        return None
    known = tried(view.history, view.space)
    for first in borrowed(view).first:
        if first.identity not in known and view.space.allowed(first.parameters):
            return Suggestion(parameters=first.parameters, origin=ORIGIN, reason=reason_of(view, first))
    return None


def reason_of(view: View, first: First) -> str:
    """Return where a configuration comes from, and what it came to there."""
    study, result, source = view.study, first.result, first.source
    reached = reach(result.curves.get(study.objective.name, ()))
    came_to = told(study, outcome(study, lambda name: at(result, name, reached)))
    where = f" at {source.resource} {reached}" if source.resource else ""
    best = "the best" if first.rank == 1 else f"number {first.rank}"
    return f"warm start: {best} of {source.name} ({source.url}), trial {result.trial} there: {came_to}{where}"
