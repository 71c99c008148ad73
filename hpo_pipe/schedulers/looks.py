"""What trials had reported wherever running ones are looked at, for schedulers that foretell how a curve ends."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.options import Refused, option
from hpo_pipe.ranking import best_first, grade
from hpo_pipe.rungs import ladder
from hpo_pipe.schedulers.median import MAX_LOOKS
from hpo_pipe.view import View
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]

USUAL = 20
"""Looks at a trial, where nothing else is asked for."""
POINTS = 50
"""Of a curve, at least, where training has as many units."""
FIRST_COLUMNS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOptions:
    """When to look at running trials, and how sure to be."""

    grace: int | None = option(None, low=1)
    """The first look; by default as each scheduler says."""
    interval: int | None = option(None, low=1)
    """Between two looks at a trial; a twentieth of the greatest resource, at least 1."""
    threshold: float = option(0.05, low=1e-6, high=0.5)
    """The probability of beating the best one, below which a trial is stopped."""


def check_looks(options: LookOptions, top: int) -> None:
    """Raise Refused where no trial could ever be looked at, or too often."""
    if options.grace is not None and options.grace >= top:
        raise Refused("grace", options.grace, f"less than {top}, the greatest resource")
    if options.interval is not None and top // options.interval > MAX_LOOKS:
        raise Refused(
            "interval", options.interval, f"at least {-(-top // MAX_LOOKS)}: each look is a request"
        )


def looks(options: LookOptions, grace: int, top: int) -> range:
    """Return the resources at which a trial may be stopped, `grace` the usual first of them."""
    return range(options.grace or grace, top, options.interval or max(1, top // USUAL))


def told(checks: Iterable[int], rungs: tuple[int, ...]) -> tuple[int, ...]:
    """Return the milestones: all looks, and so many others that a curve's shape is known when they come."""
    top = rungs[-1]
    even = range(max(1, top // POINTS), top, max(1, top // POINTS))
    return tuple(sorted(r for r in {*checks, *even, *ladder(top, rungs)} if r < top))


def due(view: View, checks: range) -> dict[int, int]:
    """Return the trials that the newest reports take past a look, each with the last such look."""
    return {trial: resource for trial, resource in view.history.news if resource in checks}


def target(view: View) -> float | None:
    """Return the best loss of the completed trials within bounds, None where there is none."""
    top = len(view.history.rungs) - 1
    first = next(iter(best_first(view, top)), None)
    if first is None or grade(view, top, first)[0]:
        return None
    loss = view.history.rungs[top].loss(first)
    return loss if math.isfinite(loss) else None


def completed(view: View) -> int:
    """Return how many trials have come to a finite end."""
    return bisect_left(view.history.rungs[-1].ranking, (math.inf, -1))


class Reports:
    """The losses of all trials at the milestones. Kept as :mod:`hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        resource = view.study.resource
        self._levels = np.array(resource.milestones if resource else (), dtype=np.int64)
        self._places = {int(level): place for place, level in enumerate(self._levels)}
        self._count = 0
        self._losses: Floats = np.empty((len(self._levels), FIRST_COLUMNS))
        self._first: Floats = np.empty(FIRST_COLUMNS)
        self._best: Floats = np.empty(FIRST_COLUMNS)

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(milestones) a change."""
        trials = view.history.trials
        self._count = len(trials)
        if (more := self._count - len(self._first)) > 0:
            more = max(more, len(self._first))
            self._losses = np.pad(self._losses, ((0, 0), (0, more)))
            self._first, self._best = np.pad(self._first, (0, more)), np.pad(self._best, (0, more))
        for number in changed:
            if number < self._count:
                self._take(number, *curve(view, trials[number]))

    def at(self, level: int) -> Floats:
        """Return the losses at a milestone, shape (trials,); NaN: not reached or none yet, +inf: not finite."""
        return self._losses[self._places[level], : self._count]

    def standing(self, level: int, trial: int) -> tuple[int, int]:
        """Return rank (0: the best) and number of all that reported at a milestone; ties by number."""
        losses = self.at(level)
        own = losses[trial]
        before = int(np.count_nonzero(losses < own)) + int(np.count_nonzero(losses[:trial] == own))
        return before, int(np.count_nonzero(~np.isnan(losses)))

    def best(self) -> int:
        """Return the trial with the best value of all."""
        return int(np.argmin(self._best[: self._count]))

    def scale(self, share: float) -> tuple[float, float]:
        """Return the best loss of all, and from there to the quantile `share` of the first ones; 0 without any."""
        best, first = self._best[: self._count], self._first[: self._count]
        first = first[np.isfinite(first)]
        if not len(first):
            return 0.0, 0.0
        least = float(best.min())
        with np.errstate(over="ignore"):
            return least, float(np.quantile(first - least, share))

    def _take(self, number: int, steps: Floats, losses: Floats) -> None:
        self._losses[:, number] = np.nan
        finite = losses[np.isfinite(losses)]
        self._first[number] = finite[0] if len(finite) else np.nan
        self._best[number] = finite.min() if len(finite) else np.inf
        if not len(steps):
            return
        until = np.searchsorted(steps, self._levels, side="right")
        there = (until > 0) & (self._levels <= steps[-1])
        self._losses[there, number] = losses[until[there] - 1]


def reports(view: View) -> Reports:
    """Return what the history of `view` holds now."""
    return following(view, Reports)


def curve(view: View, trial: TrialState) -> tuple[Floats, Floats]:
    """Return the resources and losses that a trial has reported, +inf where one is not finite, each shape (n,)."""
    points = trial.curve(view.study.objective.name)
    steps = np.array([resource for resource, _ in points], dtype=np.float64)
    return steps, np.array([view.history.loss(value) for _, value in points], dtype=np.float64)
