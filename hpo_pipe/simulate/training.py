"""One simulated worker that trains one spec: a curve laid out in time."""

from __future__ import annotations

import math

import numpy as np

from hpo_pipe.simulate.curves import Curve, Floats
from hpo_pipe.simulate.run import Piece
from storage_schema.keys import CheckpointId, manifest_key
from storage_schema.metric_log import thinned
from storage_schema.records import CheckpointRef, Progress, SettledSpec, Study
from storage_schema.records import Curve as Points
from storage_schema.trial_state import SpecState

_SHA256 = "0" * 64
_CRASH_S = 1.0
"""What a crash in the first unit takes, at least: nothing happens in no time."""


class Training:
    """A spec under way.

    Args:
        study: the study.
        spec: what is trained.
        worker: by whom.
        began: virtual seconds.
        curve: the configuration's, from nothing on.
        slowness: factor on all times of this worker.
        startup_s: before the first unit of each attempt.
    """

    def __init__(
        self,
        study: Study,
        spec: SpecState,
        worker: int,
        began: float,
        curve: Curve,
        slowness: float,
        startup_s: float,
    ) -> None:
        issue = spec.issue
        reached = min(len(curve.values), issue.to)
        self.spec = spec
        self.worker = worker
        self.began = began
        self.values: Floats = curve.values[issue.start : reached]
        before = float(curve.seconds[issue.start - 1]) if issue.start and reached else 0.0
        self.times: Floats = (
            began + startup_s + slowness * (np.asarray(curve.seconds[issue.start : reached]) - before)
        )
        self.crashes = reached < issue.to
        self.attempts = 1
        self.ended = float(self.times[-1]) if len(self.times) else began + startup_s
        if self.crashes:
            self.attempts = study.retries + 1
            last_s = slowness * _last_unit_s(curve, reached)
            self.ended += last_s + study.retries * (startup_s + last_s)
        levels = study.resource.milestones if study.resource else ()
        self._milestones = [m for m in reversed(levels) if issue.start < m < issue.to and m <= reached]

    def next_milestone(self) -> tuple[float, int] | None:
        """Return when the next milestone is passed, and which one; each once."""
        if not self._milestones:
            return None
        level = self._milestones.pop()
        return float(self.times[level - self.spec.issue.start - 1]), level

    def progress(self, study: Study, level: int) -> Progress:
        """Return the fact that a milestone was passed."""
        value = float(self.values[level - self.spec.issue.start - 1])
        point = (level, value if math.isfinite(value) else None)
        return Progress(spec=self.spec.id, attempt=1, curves={study.objective.name: (point,)})

    def settled(self, study: Study, must: tuple[int, ...]) -> SettledSpec:
        """Return the fact of how it ended by itself; `must`: the levels that a thinned curve keeps."""
        issue, reached = self.spec.issue, self.spec.issue.start + len(self.values)
        seconds = round(self.ended - self.began, 3)
        return SettledSpec(
            spec=self.spec.id,
            link=2 * self.attempts,
            outcome="fail" if self.crashes else "done",
            resource=reached,
            curves={study.objective.name: thinned(self._points(), must)} if len(self.values) else {},
            checkpoint=None
            if self.crashes or study.resource is None
            else _checkpoint(issue.trial, self.spec, reached),
            wall_s=seconds,
            gpu_s=seconds,
            attempts=self.attempts,
            reason="crashed, as its curve says" if self.crashes else "",
        )

    def piece(self, sign: float, until: float = math.inf) -> Piece:
        """Return what was done of it by `until`; `sign`: 1 where the objective is minimised, else -1."""
        count = (
            len(self.times) if until >= self.ended else int(np.searchsorted(self.times, until, side="right"))
        )
        values = self.values[:count]
        losses = np.where(np.isfinite(values), sign * values, np.inf)
        ended = min(until, self.ended)
        return Piece(self.spec.id, self.worker, self.began, ended, self.times[:count], losses)

    def finished(self, at: float) -> int:
        """Return how many units are finished at a time."""
        return int(np.searchsorted(self.times, at, side="right"))

    def _points(self) -> Points:
        first = self.spec.issue.start + 1
        return tuple(
            (unit, value if math.isfinite(value) else None)
            for unit, value in enumerate(self.values.tolist(), start=first)
        )


def stopped(spec: SpecState, running: bool) -> SettledSpec:
    """Return the fact that a spec was stopped; one that nobody had taken up has no claim."""
    return SettledSpec(spec=spec.id, link=2 if running else 1, outcome="stop", attempts=int(running))


def _checkpoint(trial: int, spec: SpecState, resource: int) -> CheckpointRef:
    key = manifest_key(CheckpointId(trial, resource, spec.id, 1))
    return CheckpointRef(key=key, sha256=_SHA256, resource=resource)


def _last_unit_s(curve: Curve, reached: int) -> float:
    if not reached:
        return _CRASH_S
    before = float(curve.seconds[reached - 2]) if reached > 1 else 0.0
    return float(curve.seconds[reached - 1]) - before
