"""Curve fitting: Domhan, Springenberg, Hutter, IJCAI 2015, with the Markov chains replaced by fits.

A running trial is stopped if, at two looks that follow each other, the probability that it ends better than the best
completed trial is less than 0.05, as the families of :mod:`hpo_pipe.models.curve_ensemble` see it. The look before is
taken anew, at the curve as far as it went then, and with the target of today. So a decision needs nothing but the
history as it stands; and what two looks guard against is a fit that goes astray, not a target that moves.

Never stopped: the best max(1, floor(n / eta)) of the n that have reported there, this trial included; the one with the
best value of all; one whose curve would have to be continued to more than four times its length, while fewer than ten
trials are completed; one that too few families can be fitted to. A curve that is not finite where it is looked at has
failed; values that are not finite before are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.curve_ensemble import Prediction, predict
from hpo_pipe.options import option
from hpo_pipe.schedulers.looks import (
    LookOptions,
    check_looks,
    completed,
    curve,
    due,
    looks,
    reports,
    target,
    told,
)
from hpo_pipe.view import Move, Sample, Stop, View
from storage_schema.trial_state import TrialState

LEAST_GRACE = 4
FURTHEST = 4.0
"""Times its length that a curve is continued to without CALIBRATED completed trials."""
CALIBRATED = 10
BEGINNING = 0.75
"""The quantile of the first values that is 0 in the scale of the families; the best value is 1."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From losses to the scale of the families."""

    best: float
    width: float

    def rising(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            return 1.0 - (losses - self.best) / self.width

    def loss(self, value: float) -> float:
        return self.best + (1.0 - value) * self.width


@dataclass(frozen=True, slots=True)
class _Look:
    """What a trial's curve says at one resource."""

    resource: int
    chance: float
    """Of a better end than the target."""
    prediction: Prediction | None
    """None: the curve has failed."""


class CurveFitting:
    """Registered as ``curve_fitting``."""

    needs_resource = True
    copes_with_objectives = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(LookOptions):
        """The first look is at a fifth of the greatest resource, at least 4; `threshold` is the paper's delta."""

        min_trials: int = option(1, low=1, high=1_000_000)
        """Completed trials before any is stopped."""
        eta: int = option(3, low=2, high=1000)
        """The best 1 in eta at any look go on."""

    def __init__(self, options: Options) -> None:
        self._options = options

    @staticmethod
    def check(options: Options, rungs: tuple[int, ...]) -> None:
        """Raise Refused where no trial could ever be looked at."""
        check_looks(options, rungs[-1])

    @staticmethod
    def milestones(options: Options, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return the looks, and points between and before them."""
        return told(_looks(options, rungs[-1]), rungs)

    def judge(self, view: View) -> Iterator[Stop]:
        """Yield those that have just come to a look and are not expected to beat the best."""
        checks = _looks(self._options, view.history.rungs[-1].level)
        best = target(view)
        if best is None or completed(view) < self._options.min_trials:
            return
        for trial, resource in due(view, checks).items():
            reason = self._reason(view, checks, view.history.trials[trial], resource, best)
            if reason:
                yield Stop(trial=trial, reason=reason)

    def next_move(self, view: View) -> Move | None:
        """Return a new trial, always."""
        top = len(view.history.rungs) - 1
        return Sample(
            bracket=0, rung=top, reason="trained to the end unless its curve leads nowhere near the best"
        )

    def next_promotion(self, view: View) -> Move | None:
        """Return None: no trial is ever paused."""
        return None

    def _reason(self, view: View, checks: range, trial: TrialState, resource: int, best: float) -> str:
        """Return why to stop a trial, empty if it goes on: cheap questions first."""
        known = reports(view)
        rank, count = known.standing(resource, trial.number)
        protected = rank < max(1, count // self._options.eta) or trial.number == known.best()
        scale = _Scale(*known.scale(BEGINNING))
        if trial.stopped or resource == checks[0] or protected or not 0.0 < scale.width < math.inf:
            return ""
        found = []
        for check in (resource, resource - checks.step):
            look = self._look(view, trial, check, scale, best)
            if look is None or not look.chance < self._options.threshold:
                return ""
            found.append(look)
        return self._why(view, found, scale, best, f"rank {rank + 1} of {count}")

    def _look(self, view: View, trial: TrialState, resource: int, scale: _Scale, best: float) -> _Look | None:
        """Return what a trial's curve up to a resource says, None if nothing."""
        steps, losses = curve(view, trial)
        there = steps <= resource
        steps, losses = steps[there], losses[there]
        if not len(losses):
            return None
        if not math.isfinite(losses[-1]):
            return _Look(resource, 0.0, None)
        finite = np.isfinite(losses)
        top = view.history.rungs[-1].level
        found = predict(steps[finite], scale.rising(losses[finite]), top)
        if found is None or (found.stretch > FURTHEST and completed(view) < CALIBRATED):
            return None
        return _Look(resource, found.exceeds(float(scale.rising(np.array(best)))), found)

    def _why(self, view: View, found: list[_Look], scale: _Scale, best: float, rank: str) -> str:
        unit = view.study.resource.name if view.study.resource else "step"
        name, now, before = view.study.objective.name, found[0], found[1]
        if now.prediction is None:
            also = f", and at {before.resource}" if before.prediction is None else ""
            return f"its {name} is not finite at {unit} {now.resource}{also}; {rank}"
        seen = now.prediction
        end = f"{view.history.value(scale.loss(seen.mean)):.4g} ± {seen.deviation * scale.width:.2g}"
        failed = f", {' and '.join(seen.failed)} could not be fitted" if seen.failed else ""
        return (
            f"predicted {name} at {unit} {view.history.rungs[-1].level}: {end}, better than the best completed, "
            f"{view.history.value(best):.6g}, with probability {now.chance:.2g}, and {before.chance:.2g} at {unit} "
            f"{before.resource}, both below {self._options.threshold:g}; {rank} at {unit} {now.resource}, "
            f"{len(seen.fitted)} curve families{failed}"
        )


def _looks(options: CurveFitting.Options, top: int) -> range:
    return looks(options, max(LEAST_GRACE, -(-top // 5)), top)
