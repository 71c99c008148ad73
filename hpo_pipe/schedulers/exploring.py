"""Exploring: the configuration of a clone, near that of its source (Jaderberg et al. 2017, arXiv:1711.09846).

Each parameter is drawn anew, from the user's prior or uniformly, with some probability. Otherwise numbers on a
logarithmic scale are multiplied by one of two factors (on a scale of 1 - x, or of odds, these are), other numbers move
by a share of their range, reflected at its ends, discrete ones of both kinds by one step at least, and ordered values
by one place. Categories are always drawn anew. What a new category brings to life is drawn, and what it makes inactive
is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.choices import OrdinalParameter
from hpo_pipe.parameters import FloatParameter, IntParameter, Parameter
from hpo_pipe.scales import clipped, span
from hpo_pipe.space import Space
from storage_schema.codec import Json

Floats = NDArray[np.float64]

MAX_TRIES = 50
"""Where combinations are forbidden."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """How far a clone goes from its source."""

    resample: float
    """The probability that a parameter is drawn anew."""
    down: float
    up: float
    """Factors on logarithmic scales, below and above 1."""
    step: float
    """Of the range of other numbers."""


def explored(
    space: Space, parameters: Mapping[str, Json], how: Exploration, rng: np.random.Generator
) -> dict[str, Json]:
    """Return a permitted configuration near another one; the same one where no permitted one is found."""
    own = space.encode(parameters)
    for _ in range(MAX_TRIES):
        found = space.decode(moved(space, own, how, rng))
        if space.allowed(found):
            return found
    return dict(parameters)


def moved(space: Space, own: Floats, how: Exploration, rng: np.random.Generator) -> Floats:
    """Return a row near `own`, shape (d,), without NaN: also for what is inactive, should it come to life."""
    d = len(space.dimensions)
    anew, upwards, fresh = rng.random((3, d))
    drawn: Floats = space.from_prior(fresh[np.newaxis])[0]
    for column, (parameter, kind) in enumerate(zip(space.dimensions, space.kinds, strict=True)):
        place = float(own[column])
        if kind.kind != "category" and not math.isnan(place) and anew[column] >= how.resample:
            drawn[column] = _stepped(parameter, place, bool(upwards[column] < 0.5), how)
    return drawn


def _stepped(parameter: Parameter, place: float, upwards: bool, how: Exploration) -> float:
    if isinstance(parameter, OrdinalParameter):
        return _next(parameter, parameter.cell(place), upwards)
    assert isinstance(parameter, FloatParameter | IntParameter)
    if parameter.scale == "linear":
        target = _reflected(place + (how.step if upwards else -how.step))
    elif parameter.size is None:
        shifts = [math.log(how.up), math.log(how.down)]
        whole = span(parameter.min, parameter.max, parameter.scale)
        target = _turned(place, [shift / whole for shift in (shifts if upwards else shifts[::-1])])
    else:
        target = _multiplied(parameter, place, [how.up, how.down] if upwards else [how.down, how.up])
    if parameter.size is None:
        return target
    before, after = parameter.cell(place), parameter.cell(target)
    return _next(parameter, before, upwards) if after == before else parameter.encode(parameter.at(after))


def _next(parameter: Parameter, index: int, upwards: bool) -> float:
    """Return the place of the next value, at an end the one before it."""
    size = parameter.size
    assert size is not None and size > 1
    beside = index + (1 if upwards else -1)
    return parameter.encode(parameter.at(beside if 0 <= beside < size else 2 * index - beside))


def _multiplied(parameter: FloatParameter | IntParameter, place: float, factors: list[float]) -> float:
    """Return the place of a discrete value on a log scale times the first factor that stays within its range."""
    value = float(parameter.decode(place))
    targets = [value * factor for factor in factors if parameter.min <= value * factor <= parameter.max]
    index = round(((targets[0] if targets else value) - parameter.min) / (parameter.step or 1.0))
    return parameter.encode(parameter.at(index))


def _turned(place: float, shifts: list[float]) -> float:
    """Return a place after the first shift that stays within [0, 1], or at the farther end."""
    for shift in shifts:
        if 0.0 <= place + shift <= 1.0:
            return place + shift
    return 0.0 if place > 0.5 else 1.0


def _reflected(place: float) -> float:
    return clipped(1.0 - abs(1.0 - abs(place)))
