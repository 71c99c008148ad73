"""The best result of the studies whose results count as this one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpo_pipe.order import Order, measured
from hpo_pipe.outcomes import Outcome, at_rung
from hpo_pipe.ranking import best_trial
from hpo_pipe.transfer.rows import borrowed
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import WarmResult, WarmSource


@dataclass(frozen=True, slots=True, kw_only=True)
class BestParent:
    """A result of another study that nothing here has come up to."""

    source: WarmSource
    result: WarmResult
    rung: int
    """Of this study."""


def best_parent(history: History) -> BestParent | None:
    """Return the best result of other studies, if it is better than the incumbent; None with several objectives.

    It is better if it counts at a higher rung, or at the same one and comes before it there.
    """
    study, warm = history.study, history.study.warm_start
    if warm is None or warm.mode != "identical" or len(study.objectives) > 1:
        return None
    parents = borrowed(View.of(history)).parents
    if parents is None:
        return None
    own = best_trial(history)
    for place in range(len(history.rungs) - 1, -1 if own is None else own[1] - 1, -1):
        order = Order(study)
        for row in range(len(parents)):
            losses = parents.rungs[row, place].tolist()
            if not math.isnan(losses[0]) and not parents.failed[row]:
                order.put(row + 1, Outcome(tuple(losses[:1]), tuple(losses[1:])))
        if own is not None and own[1] == place:  # as number 0: of equals, the study's own comes first
            order.put(0, at_rung(history, history.trials[own[0]], place))
        best = next(order.best_first(), 0) if len(order) else 0
        if best and measured(order[best]):
            return BestParent(source=parents.sources[best - 1], result=parents.results[best - 1], rung=place)
    return None
