"""The best trade-offs between several objectives: the Pareto front, and how much it dominates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hpo_pipe.models.pareto import hypervolume, nondominated
from hpo_pipe.order import told
from hpo_pipe.outcomes import outcome
from hpo_pipe.ranking import rung_order
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.trials import Trial, trials_of
from hpo_pipe.report.words import number
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.records import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The trials that no other one dominates, each as it was at its greatest resource, within all bounds."""

    trials: tuple[Trial, ...]
    """By the first objective, best first."""
    hypervolume: float | None
    """Of two or three objectives: exact; None for more of them, and for an empty front."""
    reference: dict[str, float]
    """Where it is counted from: an objective's bound on its bad side, else the worst value of any trial."""

    def to_json(self) -> dict[str, Json]:
        """Return the front as JSON."""
        return {
            "front": [trial.to_json() for trial in self.trials],
            "hypervolume": self.hypervolume,
            "reference": dict(self.reference),
        }


def front_of(state: StudyState) -> Front:
    """Return the front of all trials that have finite values."""
    study = state.study
    found = [(trial, outcome(study, trial.values.get)) for trial in trials_of(state)]
    measured = [(trial, seen) for trial, seen in found if not seen.failed]
    within = [(trial, np.array(seen.losses)) for trial, seen in measured if seen.feasible]
    if not within:
        return Front(trials=(), hypervolume=None, reference={})
    points = np.array([losses for _, losses in within])
    best = np.flatnonzero(nondominated(points))
    order = best[np.lexsort((best, *points[best].T[::-1]))]
    worst = np.array([seen.losses for _, seen in measured]).max(axis=0)
    reference = np.array([_bound(m, float(w)) for m, w in zip(study.objectives, worst, strict=True)])
    with np.errstate(over="ignore", invalid="ignore"):
        volume = hypervolume(points[order], reference) if len(reference) in (2, 3) else None
    return Front(
        trials=tuple(within[place][0] for place in order.tolist()),
        hypervolume=volume if volume is None or math.isfinite(volume) else None,
        reference={
            m.name: _value(m, loss) for m, loss in zip(study.objectives, reference.tolist(), strict=True)
        },
    )


def front_line(state: StudyState, front: Front) -> str:
    """Return ``3 trials are on the front; hypervolume 1.5 up to val_loss 2.3 (worst), size 7 (bound)``."""
    count = len(front.trials)
    said = f"{count} {'trial is' if count == 1 else 'trials are'} on the front"
    if front.hypervolume is None:
        return said
    origins = (
        f"{m.name} {number(front.reference[m.name])} ({'worst' if _bad_side(m) is None else 'bound'})"
        for m in state.study.objectives
    )
    return f"{said}; hypervolume {number(front.hypervolume)} up to {', '.join(origins)}"


def without_best(state: StudyState) -> str:
    """Return why there is no best trial: nothing was measured, or nothing is within bounds; then, what is nearest."""
    if state.study.bounded:
        view = View.of(state.history)
        for place in range(len(state.history.rungs) - 1, -1, -1):
            order = rung_order(view, place)
            nearest = next(order.best_first(), None)
            if nearest is not None and not order[nearest].failed:
                return f"no trial is within all bounds; nearest is trial {nearest}: {told(state.study, order[nearest])}"
    return "nothing measured yet"


def _bad_side(metric: Metric) -> float | None:
    return metric.max if metric.goal == "minimize" else metric.min


def _bound(metric: Metric, worst: float) -> float:
    bound = _bad_side(metric)
    return worst if bound is None else metric.loss(bound)


def _value(metric: Metric, loss: float) -> float:
    return loss if metric.goal == "minimize" else -loss
