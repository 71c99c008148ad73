"""Parameters whose values are listed: categorical, ordinal, constant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hpo_pipe.options import Refused
from hpo_pipe.parameters import MAX_VALUES, cell
from storage_schema.codec import Json, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalParameter:
    """One of several values without an order; any JSON values."""

    name: str
    values: tuple[Json, ...]
    TYPE: ClassVar[str] = "categorical"
    _texts: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise Refused("values", self.values, f"1 to {MAX_VALUES} values")
        try:
            texts = tuple(encode(value) for value in self.values)
        except (TypeError, ValueError):
            raise Refused(
                "values", self.values, "strings, finite numbers, true, false, or arrays of them"
            ) from None
        twice = next((v for v, t in zip(self.values, texts, strict=True) if texts.count(t) > 1), None)
        if len(set(texts)) < len(texts):
            raise Refused("values", self.values, f"different values ({twice!r} is there twice)")
        object.__setattr__(self, "_texts", texts)

    @property
    def size(self) -> int:
        """How many values it has."""
        return len(self.values)

    def decode(self, u: float) -> Json:
        """Return the value whose cell holds `u`."""
        return self.values[cell(u, self.size, False, 0, 1)]

    def encode(self, value: Json) -> float:
        """Return the middle of the value's cell. Its place says nothing about nearness."""
        return (self._texts.index(encode(value)) + 0.5) / self.size

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
        for own, own_text in zip(self.values, self._texts, strict=True):
            if own_text == text or (_real(own) and _real(value) and own == value):
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


def _real(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
