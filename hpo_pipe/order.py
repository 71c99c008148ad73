"""Trials ranked by what came of them, where that is more than one loss.

By these rules, in turn (Deb et al. 2002; Schmucker et al. 2021, arXiv:2106.12639):

1. Within bounds before out of bounds, and what failed last.
2. Within bounds, by non-dominated front, and within a front so that its first members are spread over it
   (:mod:`hpo_pipe.models.pareto`); with one objective, by its loss.
3. Out of bounds, by the sum of how far beyond each bound, each divided by the median of what is beyond it.
4. By the trial's number.

A new member costs a binary search, among those out of bounds O(log n) each of them, and with several objectives what
:class:`~hpo_pipe.models.pareto.Fronts` says.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator
from statistics import median

from hpo_pipe.models.pareto import Fronts
from hpo_pipe.outcomes import Outcome
from storage_schema.records import Study


class Order:
    """Trials ranked by what came of them; see the rules above."""

    def __init__(self, study: Study) -> None:
        self._objectives = len(study.objectives)
        self._outcomes: dict[int, Outcome] = {}
        self._within: list[
            tuple[float, int]
        ] = []  # (loss, trial), sorted; with several objectives, the fronts
        self._fronts: Fronts | None = None
        self._coming: dict[int, Outcome] = {}  # to the fronts
        self._beyond: dict[int, Outcome] = {}
        self._beyond_places: dict[int, int] | None = None  # best first
        self._failed: list[int] = []  # sorted

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
        if before is not None:
            self._leave(trial, before)
        if outcome is not None:
            self._enter(trial, outcome)

    def rank(self, trial: int) -> int:
        """Return how many are ranked before `trial` (0: the best)."""
        found, within = self._outcomes[trial], len(self._outcomes) - len(self._beyond) - len(self._failed)
        if found.failed:
            return within + len(self._beyond) + bisect_left(self._failed, trial)
        if not found.feasible:
            return within + self._out_of_bounds()[trial]
        if self._objectives == 1:
            return bisect_left(self._within, (found.loss, trial))
        fronts = self._up_to_date()
        front = fronts.front_of(trial)
        before = sum(fronts.size(place) for place in range(front))
        place: int = fronts.best_first(front).tolist().index(trial)
        return before + place

    def best_first(self) -> Iterator[int]:
        """Yield all trials, best first."""
        if self._objectives == 1:
            yield from (trial for _, trial in self._within)
        else:
            fronts = self._up_to_date()
            for place in range(len(fronts)):
                yield from fronts.best_first(place).tolist()
        yield from self._out_of_bounds()
        yield from self._failed

    def grade(self, trial: int) -> tuple[int, float]:
        """Return (0, front or loss) within bounds, (1, by how much) beyond them, (2, 0) for a failed trial.

        Trials of equal grade are equally good.
        """
        found = self._outcomes[trial]
        if found.failed:
            return 2, 0.0
        if not found.feasible:
            return 1, self._excess(found, self._scales())
        return 0, found.loss if self._objectives == 1 else float(self._up_to_date().front_of(trial))

    def _enter(self, trial: int, found: Outcome) -> None:
        self._outcomes[trial] = found
        if found.failed:
            insort(self._failed, trial)
        elif not found.feasible:
            self._beyond[trial] = found
            self._beyond_places = None
        elif self._objectives == 1:
            insort(self._within, (found.loss, trial))
        else:
            self._coming[trial] = found

    def _leave(self, trial: int, found: Outcome) -> None:
        del self._outcomes[trial]
        if found.failed:
            del self._failed[bisect_left(self._failed, trial)]
        elif not found.feasible:
            del self._beyond[trial]
            self._beyond_places = None
        elif self._objectives == 1:
            del self._within[bisect_left(self._within, (found.loss, trial))]
        elif self._coming.pop(trial, None) is None:
            self._fronts = (
                None  # the fronts cannot let go of a point; it takes another outcome for a known result
            )

    def _out_of_bounds(self) -> dict[int, int]:
        """Return those out of bounds, best first, with their places."""
        if self._beyond_places is None:
            scales, found = self._scales(), self._beyond
            order = sorted(found, key=lambda t: (self._excess(found[t], scales), found[t].losses, t))
            self._beyond_places = {trial: place for place, trial in enumerate(order)}
        return self._beyond_places

    def _up_to_date(self) -> Fronts:
        if self._fronts is None:
            self._fronts = Fronts(self._objectives)
            self._coming = {t: found for t, found in self._outcomes.items() if measured(found)}
        self._fronts.extend((trial, found.losses) for trial, found in self._coming.items())
        self._coming = {}
        return self._fronts

    def _scales(self) -> tuple[float, ...]:
        """Return what counts as one, of how far beyond each bound: the median of those that are."""
        columns = zip(*(found.excess for found in self._beyond.values()), strict=True)
        beyond = ([e for e in column if 0.0 < e < math.inf] for column in columns)
        return tuple(median(column) if column else 1.0 for column in beyond)

    def _excess(self, found: Outcome, scales: tuple[float, ...]) -> float:
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
