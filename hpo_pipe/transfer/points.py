"""Reading the curves of results that were taken over."""

from __future__ import annotations

import math

from hpo_pipe.outcomes import until
from storage_schema.records import Curve, WarmResult


def reach(curve: Curve) -> int:
    """Return the last resource of a curve, 0 where it is empty."""
    return curve[-1][0] if curve else 0


def at(result: WarmResult, metric: str, resource: int) -> float | None:
    """Return a metric's last value at or before a resource; None where there is none, or none that is finite."""
    value = until(result.curves.get(metric, ()), resource)
    return None if value is None or not math.isfinite(value) else value
