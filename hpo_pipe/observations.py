"""A history's results as arrays, for models: brought up to date by what changed, never rebuilt.

See :mod:`hpo_pipe.following` for why that is pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.rungs import ladder
from hpo_pipe.view import View
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FIRST_ROWS = 64


class Observations:
    """The trials of one history, a row each. Arrays are views: read them before the history changes."""

    def __init__(self, view: View) -> None:
        self._known: list[TrialState] = []
        resource = view.study.resource
        self.ladder: tuple[int, ...] = ladder(resource.max, resource.rungs) if resource else (1,)
        """Resources at which curves are kept: about a factor of 1.37 apart, the rungs among them."""
        self._rows: Floats = np.empty((_FIRST_ROWS, len(view.space.dimensions)))
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

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(changes)."""
        count = len(view.history.trials)
        del self._known[count:]
        self._grow(count)
        for number in changed:
            if number < count:
                self._take(view, view.history.trials[number])

    def _grow(self, count: int) -> None:
        have = len(self._reached)
        if count <= have:
            return
        more = max(count, 2 * have) - have
        self._rows = np.pad(self._rows, ((0, more), (0, 0)))
        self._curves = np.pad(self._curves, ((0, more), (0, 0)))
        self._reached = np.pad(self._reached, (0, more))

    def _take(self, view: View, trial: TrialState) -> None:
        number = trial.number
        if number == len(self._known):
            self._known.append(trial)
            self._rows[number] = view.space.encode(trial.parameters)
        elif self._known[number] is not trial:
            self._known[number] = trial
            self._rows[number] = view.space.encode(trial.parameters)
        self._curves[number] = np.nan
        self._reached[number] = 0
        if view.history.study.resource is None:
            self._take_result(view, trial)
        else:
            self._take_curve(view, trial)

    def _take_result(self, view: View, trial: TrialState) -> None:
        rung = view.history.rungs[0]
        if trial.number in rung:
            self._curves[trial.number, 0] = rung.loss(trial.number)
            self._reached[trial.number] = 1

    def _take_curve(self, view: View, trial: TrialState) -> None:
        curve = trial.curve(view.history.study.objective.name)
        row, place, steps = self._curves[trial.number], 0, self.ladder
        for resource, value in curve:
            while place < len(steps) and steps[place] < resource:
                place += 1
            if place == len(steps):
                break
            row[place] = view.history.loss(value)
        # a value between two steps stands at the later one only if the curve goes on to it
        if curve:
            self._reached[trial.number] = curve[-1][0]
            row[np.array(steps) > curve[-1][0]] = math.nan


def observations(view: View) -> Observations:
    """Return what the history of `view` holds now. Ask again after every change."""
    return following(view, Observations)


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
