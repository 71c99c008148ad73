"""Strict reading of one decoded record: every complaint names the object, the field, and what was found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from storage_schema.codec import MAX_DEPTH, Json, decode, is_shallow
from storage_schema.errors import DamagedRecord, NewerFormat
from storage_schema.keys import SpecId, parse_worker_key

FORMAT = 1
"""The format that this version writes. Older ones are read for ever; newer ones are refused."""

MAX_TEXT = 64 * 1024
MAX_WORD = 200
MAX_NUMBER = sys.float_info.max

_T = TypeVar("_T")


def opened(data: bytes, key: str, kinds: tuple[str, ...]) -> Fields:
    """Decode the record at `key`, check its format and kind, and return its fields.

    Raises:
        NewerFormat: written by a newer hpo-pipe.
        DamagedRecord: anything else that is not such a record.
    """
    fields = Fields(decode(data, key), key)
    found = fields.integer("format", 1)
    if found > FORMAT:
        raise NewerFormat(
            key, f"format {found}, this hpo-pipe reads up to {FORMAT}: upgrade it (pip install -U hpo-pipe)"
        )
    kind = fields.text("kind")
    if kind not in kinds:
        raise DamagedRecord(key, f"kind is {kind[:40]!r}, expected {' or '.join(kinds)}")
    return fields


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object within a record."""

    value: Mapping[str, Json]
    key: str
    path: str = ""

    def has(self, name: str) -> bool:
        """Tell whether the field is there and not null."""
        return self.value.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string of at most 65,536 characters."""
        found = self.value.get(name, default)
        if not isinstance(found, str) or len(found) > MAX_TEXT:
            self.refuse(name, found, "a string")
        return str(found)

    def integer(self, name: str, low: int = 0, high: int = 2**63 - 1, default: int | None = None) -> int:
        """Return an integer within [low, high], by default what 64 bits with a sign hold."""
        found = self.value.get(name, default)
        if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
            self.refuse(name, found, f"an integer from {low} to {high}")
        return int(found)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number."""
        found = self.value.get(name, default)
        if not isinstance(found, int | float) or isinstance(found, bool) or abs(found) > MAX_NUMBER:
            self.refuse(name, found, "a number")
        return float(found)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return true or false."""
        found = self.value.get(name, default)
        if not isinstance(found, bool):
            self.refuse(name, found, "true or false")
        return bool(found)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return a string out of `allowed`."""
        found = self.text(name)
        if found not in allowed:
            self.refuse(name, found, " or ".join(allowed))
        return found

    def word(self, name: str) -> str:
        """Return a name that people read: 1 to 200 printable characters."""
        found = self.text(name)
        if not 0 < len(found) <= MAX_WORD or not found.isprintable():
            self.refuse(name, found, f"1 to {MAX_WORD} printable characters")
        return found

    def spec(self, name: str = "spec") -> SpecId:
        """Return a spec id."""
        found = SpecId.parse(self.text(name))
        if found is None:
            self.refuse(name, self.value.get(name), "a spec like 00000042-003")
        assert found is not None
        return found

    def worker(self, name: str) -> str:
        """Return a worker's or coordinator's id."""
        found = self.text(name)
        if parse_worker_key(f"workers/{found}.json") is None:
            self.refuse(name, found, "a worker id (a-z, 0-9, -)")
        return found

    def mapping(self, name: str) -> dict[str, Json]:
        """Return an object as it is; an absent one is empty."""
        found = self.value.get(name, {})
        if not isinstance(found, dict):
            self.refuse(name, found, "an object")
        return dict(found)

    def kept(self, name: str) -> dict[str, Json]:
        """Return an object that is kept as it is, within bounds; an absent one is empty."""
        return dict(self._bounded(name, self.mapping(name)))

    def kept_array(self, name: str) -> list[Json]:
        """Return an array that is kept as it is, within bounds; an absent one is empty."""
        return list(self._bounded(name, self.array(name)))

    def array(self, name: str, most: int | None = None) -> list[Json]:
        """Return an array as it is, of at most so many items; an absent one is empty."""
        found = self.value.get(name, [])
        if not isinstance(found, list):
            self.refuse(name, found, "an array")
        if most is not None and len(found) > most:
            self.refuse(name, f"{len(found)} items", f"at most {most}")
        return list(found)

    def texts(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return an object of texts as sorted pairs; an absent one is empty."""
        inner = self.within(name)
        return tuple(sorted((key, inner.text(key)) for key in inner.value))

    def within(self, name: str) -> Fields:
        """Return the fields of a nested object."""
        return Fields(self.mapping(name), self.key, f"{self.path}{name}.")

    def each(self, name: str) -> list[Fields]:
        """Return the fields of every object in an array."""
        found = self.array(name)
        for place, item in enumerate(found):
            if not isinstance(item, dict):
                self.refuse(f"{name}[{place}]", item, "an object")
        return [Fields(item, self.key, f"{self.path}{name}[{place}].") for place, item in enumerate(found)]

    def optional(self, name: str, read: Callable[[str], _T]) -> _T | None:
        """Return ``read(name)``, or None where the field is absent or null."""
        return read(name) if self.has(name) else None

    def refuse(self, name: str, found: Json, allowed: str) -> None:
        """Raise DamagedRecord for one field."""
        try:
            text = str(found)[:60]
        except RecursionError:
            text = "..."
        raise DamagedRecord(self.key, f"{self.path}{name} is {text!r}, expected {allowed}")

    def _bounded(self, name: str, found: Json) -> Json:
        if not is_shallow(found):
            self.refuse(name, "nested", f"at most {MAX_DEPTH} levels")
        return found
