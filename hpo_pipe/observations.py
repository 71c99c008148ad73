"""A history's results as arrays, for models: brought up to date by what changed, never rebuilt.

What is here is a function of the history alone. It is kept per History, and follows :attr:`History.touched`, which
names the trials that changed and those that a draft took back.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.rungs import ladder
from hpo_pipe.space import Space
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_KEPT: WeakKeyDictionary[History, Observations] = WeakKeyDictionary()
_FIRST_ROWS = 64


class Observations:
    """The trials of one history, a row each. Arrays are views: read them before the history changes."""

    def __init__(self, history: History, space: Space) -> None:
        self._space = space
        self._known: list[TrialState] = []
        self._seen = 0
        resource = history.study.resource
        self.ladder: tuple[int, ...] = ladder(resource.max, resource.rungs) if resource else (1,)
        """Resources at which curves are kept: about a factor of 1.37 apart, the rungs among them."""
        self._rows: Floats = np.empty((_FIRST_ROWS, len(space.dimensions)))
        self._curves: Floats = np.empty((_FIRST_ROWS, len(self.ladder)))
        self._reached: Integers = np.empty(_FIRST_ROWS, dtype=np.int64)

    @property
    def unit(self) -> Floats:
        """The configurations in the unit cube, shape (trials, d); NaN where a parameter is inactive."""
        return self._rows[: len(self._known)]

    @property
    def curves(self) -> Floats:
        """Losses at the ladder's resources, shape (trials, ladder); NaN: none yet, +inf: not finite.

        Between two ladder resources the last report counts, never a later one.
        """
        return self._curves[: len(self._known)]

    @property
    def reached(self) -> Integers:
        """The greatest resource that was reported, shape (trials,)."""
        return self._reached[: len(self._known)]

    def follow(self, history: History) -> None:
        """Take in what changed: O(changes)."""
        changed = set(history.touched[self._seen :])
        self._seen = len(history.touched)
        count = len(history.trials)
        del self._known[count:]
        self._grow(count)
        for number in sorted(changed):
            if number < count:
                self._take(history, history.trials[number])

    def _grow(self, count: int) -> None:
        have = len(self._reached)
        if count <= have:
            return
        more = max(count, 2 * have) - have
        self._rows = np.pad(self._rows, ((0, more), (0, 0)))
        self._curves = np.pad(self._curves, ((0, more), (0, 0)))
        self._reached = np.pad(self._reached, (0, more))

    def _take(self, history: History, trial: TrialState) -> None:
        number = trial.number
        if number == len(self._known):
            self._known.append(trial)
            self._rows[number] = self._space.encode(trial.parameters)
        elif self._known[number] is not trial:
            self._known[number] = trial
            self._rows[number] = self._space.encode(trial.parameters)
        self._curves[number] = np.nan
        self._reached[number] = 0
        if history.study.resource is None:
            self._take_result(history, trial)
        else:
            self._take_curve(history, trial)

    def _take_result(self, history: History, trial: TrialState) -> None:
        rung = history.rungs[0]
        if trial.number in rung:
            self._curves[trial.number, 0] = rung.loss(trial.number)
            self._reached[trial.number] = 1

    def _take_curve(self, history: History, trial: TrialState) -> None:
        curve = trial.curve(history.study.objective.name)
        row, place, steps = self._curves[trial.number], 0, self.ladder
        for resource, value in curve:
            while place < len(steps) and steps[place] < resource:
                place += 1
            if place == len(steps):
                break
            row[place] = history.loss(value)
        # a value between two steps stands at the later one only if the curve goes on to it
        if curve:
            self._reached[trial.number] = curve[-1][0]
            row[np.array(steps) > curve[-1][0]] = math.nan


def observations(view: View) -> Observations:
    """Return what the history of `view` holds now. Ask again after every change."""
    found = _KEPT.get(view.history)
    if found is None:
        found = _KEPT[view.history] = Observations(view.history, view.space)
    found.follow(view.history)
    return found


def rung_data(view: View, place: int) -> tuple[Integers, Floats]:
    """Return the members of rung `place`, best first: trial numbers, shape (m,), and losses, +inf for failures."""
    ranking = view.history.rungs[place].ranking
    return (
        np.fromiter((trial for _, trial in ranking), dtype=np.int64, count=len(ranking)),
        np.fromiter((loss for loss, _ in ranking), dtype=np.float64, count=len(ranking)),
    )


def pending(view: View) -> Integers:
    """Return the trials that have an open spec, ascending, shape (k,)."""
    return np.array(sorted(spec.issue.trial for spec in view.history.open.values()), dtype=np.int64)
