"""What trials report, and what is wanted of it: a goal, bounds, or nothing but to be recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from storage_schema.codec import Json
from storage_schema.records.reading import Fields

GOALS = ("minimize", "maximize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that trials report. The first of a study is its objective."""

    name: str
    goal: str = "minimize"
    """``minimize`` or ``maximize``."""
    objective: bool = False
    """Whether it is searched for beside the first one, which always is."""
    min: float | None = None
    """The least value that a result may have; None: any."""
    max: float | None = None
    """The greatest."""

    @property
    def bounded(self) -> bool:
        """Whether some values are out of bounds."""
        return self.min is not None or self.max is not None

    def loss(self, value: float | None) -> float:
        """Return a value as a loss: smaller is better, +inf where it is not finite."""
        if value is None or not math.isfinite(value):
            return math.inf
        return value if self.goal == "minimize" else -value

    def excess(self, value: float | None) -> float:
        """Return how far a value is out of bounds: 0 within, +inf where it is not known or not finite."""
        if not self.bounded:
            return 0.0
        if value is None or not math.isfinite(value):
            return math.inf
        over = 0.0 if self.max is None else value - self.max
        under = 0.0 if self.min is None else self.min - value
        return max(over, under, 0.0)

    def to_json(self) -> Json:
        """Return the metric as ``study.json`` holds it: what has its default is left out, but the goal."""
        value: dict[str, Json] = {"name": self.name, "goal": self.goal}
        if self.objective:
            value["objective"] = True
        bounds = {"min": self.min, "max": self.max}
        return value | {name: bound for name, bound in bounds.items() if bound is not None}


def read_metrics(f: Fields) -> tuple[Metric, ...]:
    """Read the metrics of ``study.json``."""
    found = tuple(_metric(m) for m in f.each("metrics"))
    if not found or len({metric.name for metric in found}) < len(found):
        f.refuse("metrics", [metric.name for metric in found], "one metric or more, of different names")
    return found


def _metric(f: Fields) -> Metric:
    low, high = f.optional("min", f.number), f.optional("max", f.number)
    if low is not None and high is not None and low > high:
        f.refuse("max", high, f"at least min ({low:g})")
    return Metric(
        name=f.word("name"),
        goal=f.one_of("goal", GOALS),
        objective=f.flag("objective", False),
        min=low,
        max=high,
    )
