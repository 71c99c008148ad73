"""Reading Thrift's compact protocol within bounds: what a Parquet file's footer and page headers are written in.

Values become what they are in Python: structs are dicts by field number, lists are lists; texts and bytes are skipped,
and are None. (pyarrow has no call that reads a footer's column chunks and cannot end the process on some damaged ones.)
"""

from __future__ import annotations

import struct
from typing import Any

MAX_VALUES = 1_000_000
"""In one struct with all that is in it."""
_MAX_DEPTH = 16
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)

Struct = dict[int, Any]


class BadThrift(ValueError):
    """The bytes are no struct, or hold more than is read."""


def read_struct(data: bytes, place: int, end: int) -> tuple[Struct, int]:
    """Return the struct that begins at byte `place` and ends before byte `end`, and where it ends.

    Raises:
        BadThrift: there is none, or it holds too much.
    """
    reader = _Reader(data, place, end)
    found = reader.struct(_MAX_DEPTH)
    return found, reader.place


class _Reader:
    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data = data
        self._end = min(end, len(data))
        self._left = MAX_VALUES
        self.place = place

    def struct(self, depth: int) -> Struct:
        found: Struct = {}
        field = 0
        while (head := self._byte()) != _STOP:
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth - 1)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise BadThrift(f"more than {_MAX_DEPTH} levels or {MAX_VALUES} values")
        if kind in (_I16, _I32, _I64):
            return self._zigzag()
        if kind == _BINARY:
            self._go(self._varint())
            return None
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            self._go(8)
            return struct.unpack_from("<d", self._data, self.place - 8)[0]
        raise BadThrift(f"a value of kind {kind}")  # Parquet has no maps

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > self._end - self.place:
            raise BadThrift(f"a list of {count} in {self._end - self.place} bytes")
        return [self._value(head & 15, depth - 1) for _ in range(count)]

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise BadThrift("a number without end")

    def _byte(self) -> int:
        self._go(1)
        return self._data[self.place - 1]

    def _go(self, count: int) -> None:
        self.place += count
        if self.place > self._end:
            raise BadThrift("it reaches past its end")
