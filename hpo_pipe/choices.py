"""Parameters whose values are listed: categorical, ordinal, constant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hpo_pipe.options import Refused
from hpo_pipe.parameters import MAX_VALUES
from hpo_pipe.scales import cell
from storage_schema.codec import Json, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalParameter:
    """One of several values without an order; any JSON values."""

    name: str
    values: tuple[Json, ...]
    TYPE: ClassVar[str] = "categorical"
    _numbers: dict[bytes, int] = field(init=False, repr=False, compare=False)
    """The place of each value, by its canonical JSON."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise Refused("values", self.values, f"1 to {MAX_VALUES} values")
        try:
            texts = tuple(encode(value) for value in self.values)
        except (TypeError, ValueError):
            raise Refused(
                "values", self.values, "strings, finite numbers, true, false, or arrays of them"
            ) from None
        numbers = {text: number for number, text in reversed(list(enumerate(texts)))}
        if len(numbers) < len(texts):
            twice = next(v for i, (v, t) in enumerate(zip(self.values, texts, strict=True)) if numbers[t] < i)
            raise Refused("values", self.values, f"different values ({twice!r} is there twice)")
        object.__setattr__(self, "_numbers", numbers)

    @property
    def size(self) -> int:
        """How many values it has."""
        return len(self.values)

    def decode(self, u: float) -> Json:
        """Return the value whose cell holds `u`."""
        return self.values[self.cell(u)]

    def encode(self, value: Json) -> float:
        """Return the middle of the value's cell. Its place says nothing about nearness."""
        return (self.index(value) + 0.5) / self.size

    def index(self, value: Json) -> int:
        """Return the value's place in the list."""
        return self._numbers[encode(value)]

    def cell(self, u: float) -> int:
        """Return the place in the list of the value at `u`."""
        return cell(u, len(self.values), False, 0, 1)

    def at(self, index: int) -> Json:
        """Return value number `index`."""
        return self.values[index]

    def grid(self) -> tuple[Json, ...]:
        """Return all values."""
        return self.values

    def checked(self, value: Json) -> Json:
        """Return `value` if it is one of the values; 1 stands for 1.0, but not for true."""
        try:
            text = encode(value)
        except (TypeError, ValueError):
            text = b""
        if text in self._numbers:
            return self.values[self._numbers[text]]
        if is_real(value):
            for own in self.values:
                if is_real(own) and own == value:
                    return own
        raise Refused(self.name, value, f"one of {', '.join(repr(v) for v in self.values)}")

    def to_json(self) -> Json:
        """Return the parameter as JSON."""
        return {"name": self.name, "type": self.TYPE, "values": list(self.values)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdinalParameter(CategoricalParameter):
    """One of several values in their order: neighbours are alike."""

    TYPE: ClassVar[str] = "ordinal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantParameter:
    """The same value in every trial; owns no dimension."""

    name: str
    value: Json

    def __post_init__(self) -> None:
        try:
            encode(self.value)
        except (TypeError, ValueError):
            raise Refused(
                "value", self.value, "a string, a finite number, true, false, or an array"
            ) from None

    @property
    def size(self) -> int:
        """One."""
        return 1

    def decode(self, u: float) -> Json:
        """Return the value."""
        return self.value

    def encode(self, value: Json) -> float:
        """Return the middle of the interval."""
        return 0.5

    def at(self, index: int) -> Json:
        """Return the value."""
        return self.value

    def index(self, value: Json) -> int:
        """Return 0."""
        return 0

    def cell(self, u: float) -> int:
        """Return 0."""
        return 0

    def grid(self) -> tuple[Json, ...]:
        """Return the value."""
        return (self.value,)

    def checked(self, value: Json) -> Json:
        """Return the value if it is this one."""
        if value != self.value or isinstance(value, bool) != isinstance(self.value, bool):
            raise Refused(self.name, value, f"{self.value!r}, which this study keeps constant")
        return self.value

    def to_json(self) -> Json:
        """Return the parameter as JSON."""
        return {"name": self.name, "type": "constant", "value": self.value}


def is_real(value: Json) -> bool:
    """Tell whether `value` is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)
