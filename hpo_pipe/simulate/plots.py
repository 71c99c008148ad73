"""A comparison as lines: what was found over the resource and over time, for :mod:`svg` and :mod:`chart`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpo_pipe.simulate.axis import Axis
from hpo_pipe.simulate.comparison import Comparison
from hpo_pipe.simulate.curves import Floats
from hpo_pipe.simulate.tables import unit_name

EARLY = 0.05
"""What was found before this share of the budget does not stretch the axis."""
_TIMES = (
    (2 * 86400.0, 86400.0, "days"),
    (2 * 3600.0, 3600.0, "hours"),
    (120.0, 60.0, "minutes"),
    (0.0, 1.0, "seconds"),
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes and the lines in it."""

    x_title: str
    y_title: str
    x: Axis
    y: Axis
    lines: dict[str, tuple[Floats, Floats]]
    """By algorithm: x and y, shape (points,), NaN where there is nothing yet."""


def panels(found: Comparison) -> Iterator[Panel]:
    """Yield the panel over the resource, and the one over time; regret where the best is known, on a log axis."""
    size, word = next((size, word) for least, size, word in _TIMES if found.seconds >= least)
    lines = {label: found.lines(label) for label in found.outcomes}
    by_units = {label: (units, _shown(found, losses)) for label, (units, _, losses, _) in lines.items()}
    by_time = {label: (times / size, _shown(found, losses)) for label, (_, times, _, losses) in lines.items()}
    y = _y_axis(found, [*by_units.values(), *by_time.values()])
    metric = found.study.objective.name
    title = f"best {metric} so far" if found.best is None else f"regret of {metric}"
    yield Panel(f"{unit_name(found)}s trained", title, Axis(0.0, found.units), y, by_units)
    yield Panel(
        f"{word} on {found.setting.workers} workers", title, Axis(0.0, found.seconds / size), y, by_time
    )


def _shown(found: Comparison, losses: Floats) -> Floats:
    return found.sign * losses if found.best is None else np.maximum(losses - found.best, 0.0)


def _y_axis(found: Comparison, lines: list[tuple[Floats, Floats]]) -> Axis:
    late = np.concatenate([y[int(EARLY * len(y)) :] for _, y in lines])
    known = late[np.isfinite(late)]
    if not len(known):
        return Axis(0.0, 1.0)
    log = found.best is not None and bool((known > 0).any())
    low = known[known > 0].min() if log else known.min()
    return Axis.around(float(low), float(known.max()), log)
