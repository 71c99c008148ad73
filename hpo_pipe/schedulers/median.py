"""Median stopping: Golovin et al., KDD 2017 (Vizier), section 3.1.2.

A running trial is stopped at step s if its best value so far is strictly worse than the median of the running averages,
over the steps up to s, of the trials that were completed. It asks for no bounds and no model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.options import Refused, option
from hpo_pipe.view import Move, Sample, Stop, View
from storage_schema.trial_state import TrialState

MAX_LOOKS = 500


class MedianStopping:
    """Registered as ``median``."""

    needs_resource = True
    copes_with_objectives = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What the paper leaves open."""

        grace: int | None = option(None, low=1)
        """No trial is stopped before; a tenth of the greatest resource, at least 1."""
        interval: int | None = option(None, low=1)
        """Between two looks at a trial; a fiftieth of the greatest resource, at least 1."""
        min_trials: int = option(5, low=1, high=1_000_000)
        """Completed trials that a median is taken over at least."""
        include_stopped: bool = option(False)
        """Whether stopped trials count too, as far as they got."""

    def __init__(self, options: Options) -> None:
        self._min_trials = options.min_trials
        self._include_stopped = options.include_stopped

    @staticmethod
    def check(options: Options, rungs: tuple[int, ...]) -> None:
        """Raise Refused where no trial could ever be looked at."""
        if options.grace is not None and options.grace >= rungs[-1]:
            raise Refused("grace", options.grace, f"less than {rungs[-1]}, the greatest resource")
        if options.interval is not None and rungs[-1] // options.interval > MAX_LOOKS:
            least = -(-rungs[-1] // MAX_LOOKS)
            raise Refused("interval", options.interval, f"at least {least}: each look is a request")

    @staticmethod
    def milestones(options: Options, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return every `interval` from `grace` on."""
        top = rungs[-1]
        grace = options.grace or max(1, top // 10)
        return tuple(range(grace, top, options.interval or max(1, top // 50)))

    def judge(self, view: View) -> Iterator[Stop]:
        """Yield those that have just reported, and are worse than the median."""
        known = following(view, _Included if self._include_stopped else _Completed)
        newest = dict(view.history.news)  # of several milestones at once the last one counts
        for trial, resource in newest.items():
            state = view.history.trials[trial]
            averages = known.averages(resource)
            if state.stopped or len(averages) < self._min_trials:
                continue
            best = _best(view, state, resource)
            middle = float(np.median(averages))
            if best > middle:
                yield Stop(trial=trial, reason=self._why(view, resource, best, middle, len(averages)))

    def next_move(self, view: View) -> Move | None:
        """Return a new trial, always."""
        top = len(view.history.rungs) - 1
        return Sample(bracket=0, rung=top, reason="trained to the end unless it falls behind the median")

    def next_promotion(self, view: View) -> Move | None:
        """Return None: no trial is ever paused."""
        return None

    def _why(self, view: View, resource: int, best: float, middle: float, count: int) -> str:
        study = view.study
        unit = study.resource.name if study.resource else "step"
        return (
            f"its best {study.objective.name} by {unit} {resource}, {view.history.value(best):.6g}, is worse than the "
            f"median running average of {count} completed trials, {view.history.value(middle):.6g}"
        )


def _best(view: View, trial: TrialState, resource: int) -> float:
    curve = trial.curve(view.study.objective.name)
    return min((view.history.loss(value) for r, value in curve if r <= resource), default=math.inf)


class _Completed:
    """Running averages of completed trials at the milestones. Kept as :mod:`hpo_pipe.following` says."""

    include_stopped = False

    def __init__(self, view: View) -> None:
        resource = view.study.resource
        self._milestones = resource.milestones if resource else ()
        self._places = {level: place for place, level in enumerate(self._milestones)}
        self._rows: dict[int, NDArray[np.float64]] = {}
        self._table: NDArray[np.float64] | None = None

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed."""
        trials = view.history.trials
        for number in changed:
            if self._rows.pop(number, None) is not None:
                self._table = None
            if number < len(trials) and self._counts(view, trials[number]):
                self._rows[number] = self._running(view, trials[number])
                self._table = None

    def averages(self, resource: int) -> NDArray[np.float64]:
        """Return the running averages up to a milestone, of all that got so far."""
        if self._table is None:
            self._table = np.array(list(self._rows.values())).reshape(len(self._rows), len(self._milestones))
        column = self._table[:, self._places[resource]] if resource in self._places else np.empty(0)
        return np.asarray(column[~np.isnan(column)], dtype=np.float64)

    def _counts(self, view: View, trial: TrialState) -> bool:
        if trial.open:
            return False
        return view.history.state(trial) == "COMPLETE" or (self.include_stopped and bool(trial.stopped))

    def _running(self, view: View, trial: TrialState) -> NDArray[np.float64]:
        curve = trial.curve(view.study.objective.name)
        found = np.full(len(self._milestones), np.nan)
        if not curve:
            return found
        steps = np.array([resource for resource, _ in curve])
        losses = np.array([view.history.loss(value) for _, value in curve])
        means = np.cumsum(losses) / np.arange(1, len(losses) + 1)
        for place, level in enumerate(self._milestones):
            until = int(np.searchsorted(steps, level, side="right"))
            if until and steps[-1] >= level:
                found[place] = means[until - 1]
        return found


class _Included(_Completed):
    """The same, with stopped trials as far as they got."""

    include_stopped = True
