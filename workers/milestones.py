"""What a running trial has reported at the study's milestones (PROTOCOL.md, 5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage_schema.codec import finite
from storage_schema.records import Curve, Issue, Study
from workers.trial_process import Report


def milestones_of(study: Study, issue: Issue, start: int) -> Milestones:
    """Return the milestones of an attempt that starts with `start` units done."""
    levels = study.resource.milestones if study.resource else ()
    return Milestones(
        [level for level in levels if start < level <= issue.to], [metric.name for metric in study.metrics]
    )


class Milestones:
    """The milestones of one attempt.

    Args:
        levels: the milestones that it may pass, rising.
        metrics: the study's.
    """

    def __init__(self, levels: Sequence[int], metrics: Iterable[str]) -> None:
        self._left = {metric: list(reversed(levels)) for metric in metrics}
        self._newest: dict[str, float] = {}
        self._points: dict[str, list[tuple[int, float | None]]] = {}

    def see(self, reports: Iterable[Report]) -> bool:
        """Take in reports in their order; tell whether a milestone was passed.

        At a milestone stands its own report, or else the last one before it, never a later one.
        """
        passed = False
        for report in reports:
            for metric, left in self._left.items():
                if metric in report.values:
                    passed |= self._pass(metric, left, report.resource, float(report.values[metric]))
        return passed

    def curves(self) -> dict[str, Curve]:
        """Return the points so far, by metric."""
        return {metric: tuple(points) for metric, points in self._points.items()}

    def _pass(self, metric: str, left: list[int], resource: int, value: float) -> bool:
        passed = False
        while left and resource >= left[-1]:
            level = left.pop()
            if level == resource:
                self._newest[metric] = value
            if metric in self._newest:
                self._points.setdefault(metric, []).append((level, finite(self._newest[metric])))
                passed = True
        self._newest[metric] = value
        return passed
