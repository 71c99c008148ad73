"""Adaptive grace: a first rung whose ranking says nothing about the next one is no place to compare trials.

A network of LCBench after its first epoch is as good as untrained, and the best third there is any third. So new trials
skip a rung while the trials that were measured at it and at the next one are ranked by the two as by chance: Kendall's
tau below 0.2, by more than its standard error, over at least 8 trials.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.ranking import grade
from hpo_pipe.view import View
from storage_schema.rung import Rung

Grade = tuple[int, float]
"""How good a trial is at a rung; see :func:`hpo_pipe.ranking.grade`."""

LEAST = 8
"""Trials in common."""
FIRST = 64
"""Of them, those that are looked at: the first ones are spread over the space, later ones may be much alike."""
AGREEMENT = 0.2


@dataclass(frozen=True, slots=True)
class Skipped:
    """The rungs that new trials skip."""

    count: int
    tau: float
    """Of the highest of them and the next rung."""
    trials: int
    """That were measured at both."""


NONE_SKIPPED = Skipped(0, 1.0, 0)


def skipped(view: View) -> Skipped:
    """Return how many rungs, counted from the first, rank as by chance; the last two are never among them."""
    common = following(view, Common)
    found = NONE_SKIPPED
    for place in range(len(view.history.rungs) - 2):
        tau, n = common.agreement(view, place)
        if n < LEAST or tau + standard_error(n) >= AGREEMENT:
            break
        found = Skipped(place + 1, tau, n)
    return found


def standard_error(n: int) -> float:
    """Return that of Kendall's tau of n independent pairs of ranks (Kendall 1938): sqrt(2 (2n + 5) / (9 n (n - 1)))."""
    return math.sqrt(2.0 * (2.0 * n + 5.0) / (9.0 * n * (n - 1.0)))


def kendall(first: Sequence[Grade], second: Sequence[Grade]) -> float:
    """Return Kendall's tau of what the same n >= 2 trials came to twice: from -1 to 1; equals count for nothing."""
    a, b = _places(first), _places(second)
    i, j = np.triu_indices(len(a), 1)
    return float(np.mean(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])))


def _places(grades: Sequence[Grade]) -> NDArray[np.int64]:
    order = {grade: place for place, grade in enumerate(sorted(set(grades)))}
    return np.array([order[grade] for grade in grades])


class Common:
    """The trials that were measured at a rung and at the next one. Kept as :mod:`hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self._trials: list[list[int]] = [[] for _ in view.history.rungs[:-1]]  # ascending
        self._known: dict[int, float] = {}

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(log n) a trial and rung."""
        rungs, count = view.history.rungs, len(view.history.trials)
        for number in changed:
            for place, trials in enumerate(self._trials):
                there = number < count and all(_finite(rungs[k], number) for k in (place, place + 1))
                at = bisect_left(trials, number)
                known = at < len(trials) and trials[at] == number
                if known and not there:
                    del trials[at]
                if there and not known:
                    trials.insert(at, number)
                if known or there:
                    self._known.pop(place, None)
        if not view.study.plain:  # one trial's outcome may change how good all are
            self._known.clear()

    def agreement(self, view: View, place: int) -> tuple[float, int]:
        """Return Kendall's tau of rung `place` and the next one, over at most 64 trials, and their number."""
        trials = self._trials[place][:FIRST]
        if len(trials) < LEAST:
            return 0.0, len(trials)
        if place not in self._known:
            first, second = ([grade(view, k, trial) for trial in trials] for k in (place, place + 1))
            self._known[place] = kendall(first, second)
        return self._known[place], len(trials)


def _finite(rung: Rung, trial: int) -> bool:
    return trial in rung and math.isfinite(rung.loss(trial))
