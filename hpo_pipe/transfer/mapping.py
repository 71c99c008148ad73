"""A configuration of one space, as another space has it.

What the other space does not know is left out. What is missing stands at its default: the middle of the user's prior,
the middle of a range, the first of listed values. What lies outside of a range comes to its border, unless that is
further away than a fifth of the range, on its own scale; then the configuration says nothing about this space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hpo_pipe.choices import CategoricalParameter, OrdinalParameter, is_real
from hpo_pipe.options import Refused
from hpo_pipe.parameters import FloatParameter, IntParameter, Parameter
from hpo_pipe.space import Space
from storage_schema.codec import Json

FAR = 0.2
"""How far outside of a range a value may lie, as a share of the range."""
FORBIDDEN = "a forbidden combination"
"""No parameter has such a name."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of a configuration."""

    parameters: dict[str, Json] | None
    """Active ones only, a configuration that :meth:`Space.check` takes as it is; None: of no use."""
    problem: str = ""
    """Why it is of no use: the parameter, or :data:`FORBIDDEN`."""
    unknown: tuple[str, ...] = ()
    """Parameters that the space does not have."""
    missing: tuple[str, ...] = ()
    """Parameters whose defaults stand in."""
    moved: tuple[str, ...] = ()
    """Parameters that were moved into their range."""


def mapped(space: Space, given: Mapping[str, Json]) -> Mapped:
    """Return what `space` makes of a configuration of another one."""
    unknown = tuple(sorted(name for name in given if name not in space.names))
    by_name = {parameter.name: parameter for parameter in space.parameters}
    found: dict[str, Json] = {}
    missing, moved = [], []
    for name in space.order:
        clause = space.conditions.get(name)
        if clause is not None and not clause.holds(found):
            continue
        if name not in given:
            found[name] = default_of(space, by_name[name])
            missing += [] if by_name[name].size == 1 else [name]
            continue
        value = _within(by_name[name], given[name])
        if value is None:
            return Mapped(None, name, unknown)
        found[name] = value[0]
        moved += [name] if value[1] else []
    if not space.allowed(found):
        return Mapped(None, FORBIDDEN, unknown)
    ordered = {name: found[name] for name in space.names if name in found}
    return Mapped(ordered, "", unknown, tuple(missing), tuple(moved))


def default_of(space: Space, parameter: Parameter) -> Json:
    """Return the value that stands in for one that is not known."""
    if parameter.size == 1:
        return parameter.at(0)
    prior = space.priors.get(parameter.name)
    if prior is not None:
        return parameter.decode(float(prior.quantile(np.array([0.5]))[0]))
    listed = isinstance(parameter, CategoricalParameter) and not isinstance(parameter, OrdinalParameter)
    return parameter.decode(0.0 if listed else 0.5)


def _within(parameter: Parameter, value: Json) -> tuple[Json, bool] | None:
    """Return a value as the parameter has it, and whether it was moved; None where it is too far off."""
    try:
        return parameter.checked(value), False
    except Refused:
        pass
    if parameter.size == 1:  # what is kept here was free there: the others still say something
        return parameter.at(0), True
    if not is_real(value) or not math.isfinite(value):
        return None
    if isinstance(parameter, FloatParameter | IntParameter):
        return _nearest_number(parameter, value)
    return _nearest_listed(parameter, value) if isinstance(parameter, OrdinalParameter) else None


def _nearest_number(parameter: FloatParameter | IntParameter, value: float) -> tuple[Json, bool] | None:
    low, high = parameter.min, parameter.max
    outside = not low <= value <= high
    if outside and _overshoot(low, high, value, parameter.scale) > FAR:
        return None
    near = min(max(value, low), high)
    if parameter.size is None:
        return float(near), True
    index = min(max(round((near - low) / (parameter.step or 1)), 0), parameter.size - 1)
    return parameter.at(index), outside


def _nearest_listed(parameter: OrdinalParameter, value: float) -> tuple[Json, bool] | None:
    """Return the nearest of numbers in their order."""
    if not all(is_real(own) for own in parameter.values):
        return None
    low, high = min(parameter.values), max(parameter.values)
    outside = not low <= value <= high
    if outside and _overshoot(low, high, value, "linear") > FAR:
        return None
    return min(parameter.values, key=lambda own: (abs(own - value), own)), True


def _overshoot(low: float, high: float, value: float, scale: str) -> float:
    """Return how far outside of a range a value lies, as a share of it on its scale; +inf off the scale."""
    forth = _SCALES[scale]
    try:
        bottom, top, place = forth(low), forth(high), forth(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.inf
    width, beyond = top - bottom, max(bottom - place, place - top)
    if not math.isfinite(beyond):
        return math.inf
    return beyond / width if width > 0.0 else math.inf


_SCALES: dict[str, Callable[[float], float]] = {
    "linear": float,
    "log": math.log,
    "reverse-log": lambda x: -math.log1p(-x),
    "logit": lambda x: math.log(x / (1.0 - x)),
}
