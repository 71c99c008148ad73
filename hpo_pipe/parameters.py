"""The kinds of parameters, and how each lies in the unit interval.

A free parameter owns one dimension u in [0, 1]. Every value of a discrete parameter owns a cell of it; on a
linear scale all cells are equal. On a log scale a discrete parameter is widened by half a step at both ends, so
that its end values are not cut in half. ``decode(encode(v)) == v`` for every value that ``decode`` returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from hpo_pipe.options import Refused, option
from hpo_pipe.scales import SCALES, at_share, cell, middle, share_of
from storage_schema.codec import Json

MAX_INTEGER = 2**53
"""Integers beyond this are not exact in JSON readers that use doubles."""
MAX_VALUES = 10_000
"""Values that a categorical or ordinal parameter may list."""


class Parameter(Protocol):
    """One parameter of a space. A value."""

    @property
    def name(self) -> str:
        """What the trial knows it by."""
        ...

    @property
    def size(self) -> int | None:
        """How many values it has; None where they are not countable."""
        ...

    def decode(self, u: float) -> Json:
        """Return the value at `u` in [0, 1]."""
        ...

    def encode(self, value: Json) -> float:
        """Return where `value` lies in [0, 1]; discrete ones at the middle of their cells."""
        ...

    def at(self, index: int) -> Json:
        """Return the value number `index` of a parameter with a size."""
        ...

    def index(self, value: Json) -> int:
        """Return the number of `value`, one of the parameter's own, of a parameter with a size."""
        ...

    def cell(self, u: float) -> int:
        """Return the number of the value at `u`, of a parameter with a size; never falls as `u` rises."""
        ...

    def grid(self) -> tuple[Json, ...]:
        """Return the values that a grid search tries."""
        ...

    def checked(self, value: Json) -> Json:
        """Return `value` as the trial will see it, or raise :class:`~hpo_pipe.options.Refused`."""
        ...

    def to_json(self) -> Json:
        """Return what :meth:`Space.from_json` reads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatParameter:
    """A real number in [min, max], on one of the scales, perhaps in steps counted from `min`."""

    name: str
    min: float
    max: float
    log: bool = False
    """Short for scale = "log"."""
    step: float | None = None
    grid_points: int | None = option(None, low=1, high=MAX_VALUES)
    """How many values a grid search tries; 5, or every step."""
    scale: str = option("", allowed=SCALES)
    size: int | None = field(init=False, compare=False, repr=False)
    """How many values it has; None without steps."""

    def __post_init__(self) -> None:
        _settle_scale(self, SCALES)
        if self.min > self.max:
            raise Refused("max", self.max, f"a number of at least min ({self.min!r})")
        if not math.isfinite(self.max - self.min):
            raise Refused("max", self.max, "a range that a double can hold")
        if self.log and self.min <= 0:
            raise Refused("min", self.min, "a number greater than 0, because log = true")
        if self.scale == "logit" and self.min <= 0:
            raise Refused("min", self.min, 'a number greater than 0, because scale = "logit"')
        if self.scale in ("reverse-log", "logit") and self.max >= 1:
            raise Refused("max", self.max, f'a number less than 1, because scale = "{self.scale}"')
        if self.step is not None:
            self._check_step(self.step)
        count = 1 if self.min == self.max else None
        if self.step is not None:
            count = int((_exact(self.max) - _exact(self.min)) // _exact(self.step)) + 1
        object.__setattr__(self, "size", count)

    def _check_step(self, step: float) -> None:
        if step <= 0:
            raise Refused("step", step, "a number greater than 0")
        if self.scale not in ("linear", "log"):
            raise Refused("step", step, f'none, because scale = "{self.scale}"')
        if self.log and self.min <= step / 2:
            raise Refused("step", step, f"less than twice min ({self.min!r}), because log = true")

    def decode(self, u: float) -> float:
        """Return the value at `u`."""
        return at_share(u, self.min, self.max, self.scale) if self.size is None else self.at(self.cell(u))

    def encode(self, value: Json) -> float:
        """Return where `value` lies."""
        if self.size is None:
            return share_of(value, self.min, self.max, self.scale)
        return middle(self.index(value), self.size, self.log, self.min, self.step or 1.0)

    def index(self, value: Json) -> int:
        """Return the number of the step nearest to `value`."""
        number: int = round((value - self.min) / (self.step or 1.0))
        return number

    def cell(self, u: float) -> int:
        """Return the number of the step at `u`."""
        assert self.size is not None, "only steps have cells"
        return cell(u, self.size, self.log, self.min, self.step or 1.0)

    def at(self, index: int) -> float:
        """Return step number `index`, computed in decimal so that 3 x 0.1 is 0.3."""
        return float(_exact(self.min) + index * _exact(self.step or 0.0)) + 0.0

    def grid(self) -> tuple[Json, ...]:
        """Return `grid_points` values, evenly spaced on the parameter's own scale, ends included."""
        if self.size is not None and (self.grid_points is None or self.grid_points >= self.size):
            return tuple(self.at(i) for i in range(self.size))
        return _spread(self, self.grid_points or 5)

    def checked(self, value: Json) -> float:
        """Return `value` as a float."""
        allowed = f"a number from {self.min!r} to {self.max!r}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.min <= value <= self.max:
            raise Refused(self.name, value, allowed)
        if self.step is None:
            return float(value) + 0.0
        near = self.at(round((value - self.min) / self.step))
        if not math.isclose(near, value, rel_tol=1e-9, abs_tol=1e-9 * self.step) or near > self.max:
            raise Refused(self.name, value, f"{allowed} in steps of {self.step!r}")
        return near

    def to_json(self) -> Json:
        """Return the parameter as JSON."""
        return _range_json("float", self, self.step is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntParameter:
    """An integer in [min, max], linear or log, perhaps in steps counted from `min`."""

    name: str
    min: int = option(low=-MAX_INTEGER, high=MAX_INTEGER)
    max: int = option(low=-MAX_INTEGER, high=MAX_INTEGER)
    log: bool = False
    """Short for scale = "log"."""
    step: int = option(1, low=1, high=MAX_INTEGER)
    grid_points: int | None = option(None, low=1, high=MAX_VALUES)
    """How many values a grid search tries; all of them."""
    scale: str = option("", allowed=("linear", "log"))

    def __post_init__(self) -> None:
        _settle_scale(self, ("linear", "log"))
        if self.min > self.max:
            raise Refused("max", self.max, f"an integer of at least min ({self.min})")
        if self.log and self.min < 1:
            raise Refused("min", self.min, "an integer of at least 1, because log = true")
        if self.log and 2 * self.min <= self.step:
            raise Refused("step", self.step, f"less than twice min ({self.min}), because log = true")

    @property
    def size(self) -> int:
        """How many values it has."""
        return (self.max - self.min) // self.step + 1

    def decode(self, u: float) -> int:
        """Return the value at `u`."""
        return self.at(self.cell(u))

    def encode(self, value: Json) -> float:
        """Return where `value` lies."""
        return middle(self.index(value), self.size, self.log, self.min, self.step)

    def index(self, value: Json) -> int:
        """Return the number of the step at or below `value`."""
        return int((value - self.min) // self.step)

    def cell(self, u: float) -> int:
        """Return the number of the step at `u`."""
        return cell(u, self.size, self.log, self.min, self.step)

    def at(self, index: int) -> int:
        """Return step number `index`."""
        return self.min + index * self.step

    def grid(self) -> tuple[Json, ...]:
        """Return all values, or `grid_points` of them, evenly spaced on the parameter's own scale."""
        points = min(self.size, self.grid_points or MAX_VALUES)
        if points == self.size:
            return tuple(self.at(i) for i in range(self.size))
        return _spread(self, points)

    def checked(self, value: Json) -> int:
        """Return `value` if it is one of the integers."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not self.min <= value <= self.max or (value - self.min) % self.step:
            steps = f" in steps of {self.step}" if self.step > 1 else ""
            raise Refused(self.name, value, f"an integer from {self.min} to {self.max}{steps}")
        return int(value)

    def to_json(self) -> Json:
        """Return the parameter as JSON."""
        return _range_json("int", self, self.step != 1)


def _settle_scale(parameter: FloatParameter | IntParameter, allowed: tuple[str, ...]) -> None:
    """Make `log` and `scale` say the same."""
    scale = parameter.scale or ("log" if parameter.log else "linear")
    if scale not in allowed:
        raise Refused("scale", scale, " or ".join(allowed))
    if parameter.log and scale != "log":
        raise Refused("scale", scale, "log, because log = true")
    object.__setattr__(parameter, "scale", scale)
    object.__setattr__(parameter, "log", scale == "log")


def _exact(number: float) -> Decimal:
    return Decimal(repr(number))


def _spread(parameter: Parameter, points: int) -> tuple[Json, ...]:
    """Return the values at `points` even places, ends included, without repetitions."""
    places = [i / (points - 1) for i in range(points)] if points > 1 else [0.5]
    return tuple(dict.fromkeys(parameter.decode(u) for u in places))


def _range_json(kind: str, parameter: FloatParameter | IntParameter, stepped: bool) -> Json:
    value: dict[str, Json] = {
        "name": parameter.name,
        "type": kind,
        "min": parameter.min,
        "max": parameter.max,
    }
    if parameter.log:
        value["log"] = True
    elif parameter.scale != "linear":
        value["scale"] = parameter.scale
    if stepped:
        value["step"] = parameter.step
    if parameter.grid_points is not None:
        value["grid_points"] = parameter.grid_points
    return value
