"""What trials have reported at the rungs, whether they stopped there or passed by, for schedulers that stop."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpo_pipe.following import following
from hpo_pipe.order import Order, figures
from hpo_pipe.outcomes import passing
from hpo_pipe.view import View

Member = tuple[float, int]
"""(loss, trial): ties are broken by the trial's number."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a trial stands at a rung, among all that have reported there."""

    rank: int
    """0: the best."""
    count: int
    figures: Callable[[], str]
    """What it reported, for people."""


def standing(view: View, place: int, trial: int) -> Standing | None:
    """Return where a trial stands at rung `place`; None if it has not reported there."""
    if not view.study.plain:
        order = following(view, ReportedOrders).orders[place]
        known = trial in order
        return (
            Standing(order.rank(trial), len(order), lambda: figures(view.study, order, trial))
            if known
            else None
        )
    found = following(view, Reported).standing(place, trial)
    if found is None:
        return None
    rank, count, loss = found
    return Standing(rank, count, lambda: f"{view.study.objective.name} {view.history.value(loss):.6g}")


class ReportedOrders:
    """What was reported at every rung's level, of studies with bounds or several objectives."""

    def __init__(self, view: View) -> None:
        self.orders = [Order(view.study) for _ in view.history.rungs]

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed."""
        trials = view.history.trials
        for number in changed:
            found = (
                passing(view.history, trials[number]) if number < len(trials) else [None] * len(self.orders)
            )
            for order, outcome in zip(self.orders, found, strict=True):
                order.put(number, outcome)


class Reported:
    """Sorted losses at every rung's level, of plain studies. Kept as :mod:`hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self._tables: list[list[Member]] = [[] for _ in view.history.rungs]
        self._losses: list[list[float | None]] = []  # of each trial, at each rung

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(log n) a report."""
        trials = view.history.trials
        while len(self._losses) > len(trials):
            self._replace(len(self._losses) - 1, [None] * len(self._tables))
            self._losses.pop()
        while len(self._losses) < len(trials):
            self._losses.append([None] * len(self._tables))
        for number in changed:
            if number < len(trials):
                self._replace(number, _at_rungs(view, number))

    def standing(self, place: int, trial: int) -> tuple[int, int, float] | None:
        """Return rank (0: the best), number of trials that reported, and loss at rung `place`; None without one."""
        loss = self._losses[trial][place]
        if loss is None:
            return None
        table = self._tables[place]
        return bisect_left(table, (loss, trial)), len(table), loss

    def _replace(self, trial: int, losses: list[float | None]) -> None:
        before = self._losses[trial]
        for table, old, new in zip(self._tables, before, losses, strict=True):
            if old == new:
                continue
            if old is not None:
                del table[bisect_left(table, (old, trial))]
            if new is not None:
                insort(table, (new, trial))
        self._losses[trial] = losses


def _at_rungs(view: View, number: int) -> list[float | None]:
    """Return the loss at each rung: the last report at or before its level, of trials that got that far."""
    history = view.history
    curve = history.trials[number].curve(view.study.objective.name)
    found: list[float | None] = []
    place, newest = 0, None
    for rung in history.rungs:
        while place < len(curve) and curve[place][0] <= rung.level:
            newest = curve[place]
            place += 1
        there = newest is not None and curve[-1][0] >= rung.level
        found.append(history.loss(newest[1]) if there and newest is not None else None)
    return found
