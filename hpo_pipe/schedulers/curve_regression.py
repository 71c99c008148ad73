"""The performance-curve rule of Vizier: Golovin et al., KDD 2017, section 3.1.1.

A running trial is stopped if a Gaussian process, which has learnt from the curves of completed trials how such
beginnings end (:mod:`hpo_pipe.models.curve_regression`), gives it less than 0.05 probability of ending better than the
best of them. It knows no formula for a curve, and needs ten completed ones.

Never stopped: the trial with the best value of all, and whoever is the best of all at that resource. A curve that is
not finite where it is looked at has failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.curve_regression import Forecast, curve_process
from hpo_pipe.models.schedule import chosen
from hpo_pipe.models.threads import one_thread
from hpo_pipe.options import option
from hpo_pipe.rungs import ladder
from hpo_pipe.schedulers.looks import LookOptions, check_looks, completed, due, looks, reports, target, told
from hpo_pipe.view import Move, Sample, Stop, View

MAX_CURVES = 200


@dataclass(frozen=True, slots=True)
class _Completed:
    """The completed trials that are learnt from."""

    trials: NDArray[np.int64]
    ends: NDArray[np.float64]


class CurveRegression:
    """Registered as ``curve_regression``."""

    needs_resource = True
    copes_with_objectives = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(LookOptions):
        """What the paper leaves open. The first look is at a tenth of the greatest resource, at least 1."""

        min_trials: int = option(10, low=3, high=1_000_000)
        """Completed trials that are learnt from at least."""

    def __init__(self, options: Options) -> None:
        self._options = options

    @staticmethod
    def check(options: Options, rungs: tuple[int, ...]) -> None:
        """Raise Refused where no trial could ever be looked at."""
        check_looks(options, rungs[-1])

    @staticmethod
    def milestones(options: Options, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return the looks, and the steps at which curves are compared."""
        return told(_looks(options, rungs[-1]), rungs)

    def judge(self, view: View) -> Iterator[Stop]:
        """Yield those that have just come to a look and are not expected to beat the best."""
        best, looked_at = target(view), due(view, _looks(self._options, view.history.rungs[-1].level))
        if not looked_at or best is None or completed(view) < self._options.min_trials:
            return
        learnt = _completed(view)
        for trial, resource in looked_at.items():
            known = reports(view)
            rank, count = known.standing(resource, trial)
            if view.history.trials[trial].stopped or not rank or trial == known.best():
                continue
            place = f"rank {rank + 1} of {count}"
            if not math.isfinite(known.at(resource)[trial]):
                yield Stop(trial=trial, reason=_failed(view, resource, place))
                continue
            found = _forecast(view, learnt, trial, resource)
            if found is not None and found.below(best) < self._options.threshold:
                said = f"with probability {found.below(best):.2g}, below {self._options.threshold:g}"
                yield Stop(
                    trial=trial, reason=_why(view, resource, found, len(learnt.trials), best, said, place)
                )

    def next_move(self, view: View) -> Move | None:
        """Return a new trial, always."""
        top = len(view.history.rungs) - 1
        return Sample(bracket=0, rung=top, reason="trained to the end unless curves like its own end badly")

    def next_promotion(self, view: View) -> Move | None:
        """Return None: no trial is ever paused."""
        return None


def _looks(options: CurveRegression.Options, top: int) -> range:
    return looks(options, max(1, top // 10), top)


def _completed(view: View) -> _Completed:
    """Return those that came to an end, at most MAX_CURVES: the best, the newest, and some of the others."""
    rung, trials = view.history.rungs[-1], view.history.trials
    members = (t for loss, t in rung.ranking if math.isfinite(loss) or not trials[t].failed)
    found = chosen(np.fromiter(members, dtype=np.int64), MAX_CURVES)
    return _Completed(found, np.array([rung.loss(t) for t in found.tolist()]))


def _forecast(view: View, learnt: _Completed, trial: int, resource: int) -> Forecast | None:
    """Return how a trial ends that has come to `resource`, given its values at log-spaced steps."""
    known = reports(view)
    rungs = tuple(rung.level for rung in view.history.rungs)
    steps = [r for r in ladder(rungs[-1], rungs) if r < resource and not np.isnan(known.at(r)[trial])]
    own = np.array([known.at(r)[trial] for r in (*steps, resource)])
    curves = np.stack([known.at(r)[learnt.trials] for r in (*steps, resource)], axis=1)
    worst = np.max(curves, axis=0, where=np.isfinite(curves), initial=-math.inf)
    own = np.where(np.isfinite(own), own, worst)  # what has recovered since
    if not np.isfinite(own).all():
        return None
    with one_thread():
        process = curve_process(curves, learnt.ends)
        return None if process is None else process.forecast(own)


def _failed(view: View, resource: int, place: str) -> str:
    unit = view.study.resource.name if view.study.resource else "step"
    return f"its {view.study.objective.name} is not finite at {unit} {resource}; {place}"


def _why(view: View, resource: int, found: Forecast, count: int, best: float, chance: str, place: str) -> str:
    unit = view.study.resource.name if view.study.resource else "step"
    end, name = view.history.value(found.mean), view.study.objective.name
    return (
        f"predicted {name} at {unit} {view.history.rungs[-1].level}: {end:.4g} ± {found.deviation:.2g}, from the "
        f"curves of {count} completed trials; better than the best of them, {view.history.value(best):.6g}, {chance}; "
        f"{place} at {unit} {resource}"
    )
