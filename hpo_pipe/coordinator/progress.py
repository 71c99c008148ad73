"""From a heartbeat's curves to a fact: what is new of an open spec at the study's milestones."""

from __future__ import annotations

from storage_schema.records import Held, Progress
from storage_schema.trial_state import SpecState


def progress_of(spec: SpecState, attempt: int, held: Held) -> Progress | None:
    """Return the points that the log does not hold yet, or None where there are none.

    A later attempt passes earlier milestones again: what was told first stands, until the spec's own curve is there.
    """
    curves = {}
    for metric, curve in held.curves.items():
        known = spec.progress.get(metric, ())
        after = known[-1][0] if known else spec.issue.start
        new = tuple(point for point in curve if after < point[0] <= spec.issue.to)
        if new:
            curves[metric] = new
    return Progress(spec=spec.id, attempt=attempt, curves=curves) if curves else None
