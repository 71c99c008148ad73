"""What came of a trial: its losses, and how far it is out of bounds, at a rung or wherever its curves are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from storage_schema.history import History
from storage_schema.records import Curve, Study
from storage_schema.trial_state import TrialState

Read = Callable[[str], float | None]
"""From a metric's name to its value; None where there is none, or none that is finite."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result."""

    losses: tuple[float, ...]
    """Of each objective, minimised; +inf: failed, or not finite."""
    excess: tuple[float, ...]
    """Of each metric with bounds, how far it is out of them: 0 within, +inf where it is not known."""

    @property
    def failed(self) -> bool:
        """Whether any loss is missing."""
        return not all(map(math.isfinite, self.losses))

    @property
    def feasible(self) -> bool:
        """Whether every bound is kept."""
        return not any(self.excess)

    @property
    def loss(self) -> float:
        """The first objective's, +inf if any is missing."""
        return math.inf if self.failed else self.losses[0]


def outcome(study: Study, read: Read) -> Outcome:
    """Return what values come to."""
    return Outcome(
        tuple(metric.loss(read(metric.name)) for metric in study.objectives),
        tuple(metric.excess(read(metric.name)) for metric in study.bounded),
    )


def at_rung(history: History, trial: TrialState, place: int) -> Outcome | None:
    """Return what a trial came to at rung `place`; None if it is no member there. A failed one has +inf losses."""
    if trial.number not in history.rungs[place]:
        return None
    ended = (s for s in reversed(trial.specs) if s.issue.rung == place and s.settled)
    spec = next((s for s in ended if s.settled and s.settled.outcome != "stop"), None)
    if spec is None or spec.settled is None or spec.settled.outcome == "fail":
        return outcome(history.study, lambda name: None)
    curves = spec.settled.curves
    return outcome(history.study, lambda name: history.measured(spec.issue, curves.get(name, ())))


def passing(history: History, trial: TrialState) -> list[Outcome | None]:
    """Return what a trial reported at each rung's level, whether it stopped there or passed by; None short of it."""
    curves = {metric.name: trial.curve(metric.name) for metric in history.study.metrics}
    reached = curves[history.study.objective.name]
    top = reached[-1][0] if reached else -1
    return [
        outcome(history.study, lambda name, level=rung.level: until(curves[name], level))  # type: ignore[misc]
        if top >= rung.level
        else None
        for rung in history.rungs
    ]


def latest(history: History, trial: TrialState) -> tuple[int, Outcome] | None:
    """Return the greatest resource with a finite value of the objective, and what the trial had come to there."""
    curves = {metric.name: trial.curve(metric.name) for metric in history.study.metrics}
    first = curves[history.study.objective.name]
    resource = next((r for r, value in reversed(first) if value is not None and math.isfinite(value)), None)
    if resource is None:
        return None
    return resource, outcome(history.study, lambda name: until(curves[name], resource))


def until(curve: Curve, resource: int) -> float | None:
    """Return the last value at or before a resource."""
    return next((value for r, value in reversed(curve) if r <= resource), None)
