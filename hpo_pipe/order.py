"""Trials ranked by what came of them, where that is more than one loss.

By these rules, in turn (Deb et al. 2002; Schmucker et al. 2021, arXiv:2106.12639):

1. Within bounds before out of bounds, and what failed last.
2. Within bounds, by non-dominated front, and within a front so that its first members are spread over it
   (:mod:`hpo_pipe.models.pareto`); with one objective, by its loss.
3. Out of bounds, by the sum of how far beyond each bound, each divided by the median of what is beyond it.
4. By the trial's number.

n members cost O(n) when some are new, and each new one what :class:`~hpo_pipe.models.pareto.Fronts` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from hpo_pipe.models.pareto import Fronts
from hpo_pipe.outcomes import Outcome
from storage_schema.records import Study


class Order:
    """Trials ranked by what came of them; see the rules above."""

    def __init__(self, study: Study) -> None:
        self._several = len(study.objectives) > 1
        self._objectives = len(study.objectives)
        self._outcomes: dict[int, Outcome] = {}
        self._fronts: Fronts | None = None
        self._coming: dict[int, Outcome] = {}  # to the fronts
        self._groups: tuple[list[int], list[int], list[int]] | None = None
        self._places: dict[int, int] = {}  # of those outside of fronts, in all

    def __len__(self) -> int:
        return len(self._outcomes)

    def __contains__(self, trial: int) -> bool:
        return trial in self._outcomes

    def __getitem__(self, trial: int) -> Outcome:
        return self._outcomes[trial]

    def put(self, trial: int, outcome: Outcome | None) -> None:
        """Enter a trial, or what has become of it since; None takes it out."""
        before = self._outcomes.get(trial)
        if before == outcome:
            return
        self._groups = None
        if before is not None and measured(before):
            self._fronts = None
        if outcome is None:
            del self._outcomes[trial]
            return
        self._outcomes[trial] = outcome
        if measured(outcome):
            self._coming[trial] = outcome

    def rank(self, trial: int) -> int:
        """Return how many are ranked before `trial` (0: the best)."""
        self._grouped()
        if trial in self._places:
            return self._places[trial]
        fronts = self._up_to_date()
        front = fronts.front_of(trial)
        before = sum(fronts.size(place) for place in range(front))
        place: int = fronts.best_first(front).tolist().index(trial)
        return before + place

    def best_first(self) -> Iterator[int]:
        """Yield all trials, best first."""
        within, beyond, failed = self._grouped()
        if self._several:
            fronts = self._up_to_date()
            for place in range(len(fronts)):
                yield from fronts.best_first(place).tolist()
        else:
            yield from within
        yield from beyond
        yield from failed

    def grade(self, trial: int) -> tuple[int, float]:
        """Return (0, front or loss) within bounds, (1, by how much) beyond them, (2, 0) for a failed trial.

        Trials of equal grade are equally good.
        """
        found = self._outcomes[trial]
        if found.failed:
            return 2, 0.0
        if not found.feasible:
            return 1, self._beyond(found, self._scales())
        return 0, float(self._up_to_date().front_of(trial)) if self._several else found.loss

    def _grouped(self) -> tuple[list[int], list[int], list[int]]:
        if self._groups is None:
            outcomes = self._outcomes
            failed = sorted(trial for trial, found in outcomes.items() if found.failed)
            beyond = [t for t, found in outcomes.items() if not found.failed and not found.feasible]
            scales = self._scales() if beyond else ()
            beyond.sort(key=lambda t: (self._beyond(outcomes[t], scales), outcomes[t].losses, t))
            within = [t for t, found in outcomes.items() if measured(found)]
            if not self._several:
                within.sort(key=lambda t: (outcomes[t].loss, t))
            self._groups = within, beyond, failed
            outside = [*beyond, *failed] if self._several else [*within, *beyond, *failed]
            first = len(outcomes) - len(outside)
            self._places = {trial: first + place for place, trial in enumerate(outside)}
        return self._groups

    def _up_to_date(self) -> Fronts:
        if self._fronts is None:
            self._fronts = Fronts(self._objectives)
            self._coming = {t: found for t, found in self._outcomes.items() if measured(found)}
        self._fronts.extend((trial, found.losses) for trial, found in self._coming.items())
        self._coming = {}
        return self._fronts

    def _scales(self) -> tuple[float, ...]:
        """Return what counts as one, of how far beyond each bound: the median of those that are."""
        columns = zip(*(f.excess for f in self._outcomes.values() if not f.failed), strict=True)
        beyond = ([e for e in column if 0.0 < e < math.inf] for column in columns)
        return tuple(median(column) if column else 1.0 for column in beyond)

    def _beyond(self, found: Outcome, scales: tuple[float, ...]) -> float:
        return sum(e / scale for e, scale in zip(found.excess, scales, strict=True))


def measured(found: Outcome) -> bool:
    """Tell whether a result has finite losses within bounds."""
    return not found.failed and found.feasible


def figures(study: Study, order: Order, trial: int) -> str:
    """Return what a trial of an order came to, and its front."""
    kind, front = order.grade(trial)
    named = f" (front {front:.0f})" if len(study.objectives) > 1 and kind == 0 else ""
    return told(study, order[trial]) + named


def told(study: Study, found: Outcome) -> str:
    """Return an outcome as people read it: ``val_loss 0.31, size 12, out of bounds (latency by 3)``."""
    parts = [
        f"{metric.name} {loss if metric.goal == 'minimize' else -loss:.6g}"
        for metric, loss in zip(study.objectives, found.losses, strict=True)
    ]
    beyond = [
        f"{metric.name} " + (f"by {excess:.6g}" if math.isfinite(excess) else "is not known")
        for metric, excess in zip(study.bounded, found.excess, strict=True)
        if excess
    ]
    return ", ".join(parts) + (f", out of bounds ({', '.join(beyond)})" if beyond else "")
