"""Conditions on the values of parameters: what a `when` is made of, and what a forbidden combination is made of.

A clause holds when all of its tests hold. A test never holds for a parameter that is not active, because an
inactive one has no value. So a parameter whose parent is inactive is inactive, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from hpo_pipe.choices import CategoricalParameter, is_real
from hpo_pipe.options import Refused, mistake, together, unknown_names
from hpo_pipe.parameters import Parameter
from storage_schema.codec import Json, encode
from storage_schema.errors import StudyFileError, nearest


class Test(Protocol):
    """A condition on one parameter."""

    @property
    def name(self) -> str:
        """The parameter."""
        ...

    def holds(self, value: Json) -> bool:
        """Tell whether the parameter may have this value."""
        ...

    def to_json(self) -> Json:
        """Return it as it stands in a study file."""
        ...

    def places(self, parameter: Parameter) -> list[range]:
        """Return the numbers of the values that it holds for, of a parameter with a size: rising, apart."""
        ...


@dataclass(frozen=True, slots=True)
class Among:
    """The parameter has one of these values."""

    name: str
    values: tuple[Json, ...]
    """As the parameter itself has them."""
    _keys: frozenset[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", frozenset(map(_key, self.values)))

    def __str__(self) -> str:
        values = [repr(value) for value in self.values]
        return f"{self.name} = {values[0]}" if len(values) == 1 else f"{self.name} in {', '.join(values)}"

    def holds(self, value: Json) -> bool:
        """Tell whether it is one of the values; 1 is not true."""
        return _key(value) in self._keys

    def to_json(self) -> Json:
        """Return the value, or the list of values."""
        plain = len(self.values) == 1 and not isinstance(self.values[0], list | tuple | Mapping)
        return self.values[0] if plain else list(self.values)

    def places(self, parameter: Parameter) -> list[range]:
        """Return the numbers of the values."""
        return _runs(sorted({parameter.index(value) for value in self.values}))


@dataclass(frozen=True, slots=True)
class Between:
    """The parameter's number lies in a range, ends included."""

    name: str
    min: float | None
    max: float | None
    least: float
    """What is compared: `min` as the parameter itself would have it. A bound on a float without steps counts from
    where the unit interval can tell it from its neighbour, so that 0.3 is at least 0.3 however it was come by."""
    most: float

    def __str__(self) -> str:
        if self.min is None or self.max is None:
            return f"{self.name} >= {self.min!r}" if self.max is None else f"{self.name} <= {self.max!r}"
        return f"{self.min!r} <= {self.name} <= {self.max!r}"

    def holds(self, value: Json) -> bool:
        """Tell whether a number lies in the range."""
        return bool(self.least <= value <= self.most)

    def to_json(self) -> Json:
        """Return ``{min, max}``."""
        return {name: bound for name, bound in (("min", self.min), ("max", self.max)) if bound is not None}

    def places(self, parameter: Parameter) -> list[range]:
        """Return the numbers of the values in the range."""
        assert parameter.size is not None, "only a parameter with a size has numbered values"
        if isinstance(parameter, CategoricalParameter):  # in any order
            return _runs([i for i, value in enumerate(parameter.values) if self.holds(value)])
        numbers = range(parameter.size)
        first = bisect_left(numbers, self.least, key=parameter.at)
        beyond = bisect_right(numbers, self.most, key=parameter.at)
        return [range(first, beyond)] if first < beyond else []


@dataclass(frozen=True, slots=True)
class Clause:
    """Tests that must all hold."""

    tests: tuple[Test, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.tests))

    def holds(self, active: Mapping[str, Json]) -> bool:
        """Tell whether all tests hold for a configuration of active parameters."""
        return all(test.name in active and test.holds(active[test.name]) for test in self.tests)

    def to_json(self) -> dict[str, Json]:
        """Return name to value, list of values, or range."""
        return {test.name: test.to_json() for test in self.tests}

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it tests."""
        return tuple(test.name for test in self.tests)


def read_clause(found: Json, parameters: Mapping[str, Parameter], where: str, key: str) -> Clause:
    """Read a table of conditions, all of which must hold.

    Args:
        found: name to value, to a list of values, or to ``{min, max}``.
        parameters: all of the space, by name.
        where: the file, for errors.
        key: the table's dotted key, for errors.

    Raises:
        StudyFileError: with one line per mistake: no such parameter, or values that it cannot take.
    """
    if not isinstance(found, Mapping) or not found:
        raise mistake(where, key, found, "a table of parameters and values")
    tests: list[Test] = []
    mistakes: list[StudyFileError] = []
    for name, wanted in sorted(found.items(), key=lambda pair: str(pair[0])):  # as records have them
        try:
            if name not in parameters:
                allowed = f"one of {', '.join(parameters)}{nearest(str(name), parameters)}"
                raise mistake(where, key, name, f"conditions on parameters: {allowed}")
            tests.append(_test(parameters[name], wanted, where, f"{key}.{name}"))
        except StudyFileError as error:
            mistakes.append(error)
    together(mistakes)
    return Clause(tuple(tests))


def in_order(names: Sequence[str], conditions: Mapping[str, Clause]) -> tuple[str, ...] | list[str]:
    """Return `names` with every parameter behind those that its condition tests, else as they are.

    Where that cannot be, because they depend on each other in a circle, return the circle as a list.
    """
    order: dict[str, None] = {}
    for name in names:
        path = [name]  # depth first, without recursion: a chain may be as long as the space
        while path:
            left = [
                n for n in (conditions[path[-1]].names if path[-1] in conditions else ()) if n not in order
            ]
            if not left:
                order[path.pop()] = None
            elif left[0] in path:
                return path[path.index(left[0]) :]
            else:
                path.append(left[0])
    return tuple(order)


def _test(parameter: Parameter, wanted: Json, where: str, key: str) -> Test:
    if isinstance(wanted, Mapping):
        return _between(parameter, wanted, where, key)
    if parameter.size is None:
        raise mistake(
            where, key, wanted, "a range {min, max}: it has no steps, and so hardly ever a given value"
        )
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not values:
        raise mistake(where, key, values, "at least one value")
    try:
        own = [parameter.checked(value) for value in values]
    except Refused as refused:
        raise mistake(where, key, refused.found, refused.allowed) from None
    return Among(parameter.name, tuple(dict(zip(map(encode, own), own, strict=True)).values()))


def _between(parameter: Parameter, wanted: Mapping[str, Json], where: str, key: str) -> Between:
    if lines := unknown_names(wanted, ("min", "max"), where, key):
        raise StudyFileError("\n".join(lines))
    if not wanted:
        raise mistake(where, key, wanted, "min, max, or both")
    for name, bound in wanted.items():
        if not is_real(bound) or not math.isfinite(bound):
            raise mistake(where, f"{key}.{name}", bound, "a number")
    if not _numeric(parameter):
        raise mistake(where, key, wanted, "a value or a list of values: it has no numbers to compare")
    low, high = wanted.get("min"), wanted.get("max")
    test = Between(
        parameter.name,
        low,
        high,
        -math.inf if low is None else min(low, _seen(parameter, low)),
        math.inf if high is None else max(high, _seen(parameter, high)),
    )
    ends = (parameter.decode(0.0), parameter.decode(1.0))
    possible = test.places(parameter) if parameter.size else test.least <= ends[1] and test.most >= ends[0]
    if not possible or test.least > test.most:
        low, high = f"{low!r}" if low is not None else "any", f"{high!r}" if high is not None else "any"
        allowed = f"a range that holds one of its values, from {ends[0]!r} to {ends[1]!r}"
        raise StudyFileError(f"{where}: {key} is min = {low}, max = {high}, expected {allowed}")
    return test


def _seen(parameter: Parameter, bound: float) -> float:
    """Return `bound` as it comes back from the unit interval, where its parameter has no steps."""
    if parameter.size is not None or not parameter.decode(0.0) <= bound <= parameter.decode(1.0):
        return bound
    seen: float = parameter.decode(parameter.encode(bound))
    return seen


def _numeric(parameter: Parameter) -> bool:
    values: Iterable[Json] = (parameter.decode(0.5),)
    if isinstance(parameter, CategoricalParameter):
        values = parameter.values
    return all(is_real(value) for value in values)


def _runs(numbers: Sequence[int]) -> list[range]:
    """Return rising numbers as runs of consecutive ones."""
    runs = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        runs.append(range(found[0], found[-1] + 1))
    return runs


def _key(value: Json) -> Any:
    """Return something that can be hashed, equal for equal JSON only: 1, 1.0 and true are three values."""
    if isinstance(value, str):
        return value
    return (type(value), value) if isinstance(value, bool | int | float) else encode(value)
