"""How much a Parquet file unpacks to, from its page headers: checked before a page is unpacked.

The footer's sizes are a stranger's word: a reader does not use them, and a few KiB of zstd may unpack to gigabytes.
What a reader does use is each page header's uncompressed size: no page unpacks to more. So the headers are walked
here, as parquet.thrift has them (PageHeader in Thrift's compact protocol), and added up.
"""

from __future__ import annotations

from typing import Any

MAX_PAGES = 100_000
THRIFT_LIMITS = {"thrift_string_size_limit": 1 << 20, "thrift_container_size_limit": 1 << 16}
"""Of a footer: pyarrow's own are 100 MB and a million, and a list is laid out at the length that it claims."""
_MAX_SKIPPED_DEPTH = 8
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)


class TooMuch(ValueError):
    """The file holds more than the reader allows, or is not laid out as Parquet has it."""


def check_unpacked(metadata: Any, data: bytes, *, max_rows: int, max_bytes: int) -> None:
    """Raise TooMuch where flat columns hold more rows, or unpack to more bytes, than allowed.

    Args:
        metadata: the file's footer, a ``pyarrow.parquet.FileMetaData``.
        data: the whole file.
        max_rows: rows in each column.
        max_bytes: of all pages together, unpacked.

    Raises:
        TooMuch: also where a column chunk says another number of values than its row group has rows.
    """
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if metadata.num_rows > max_rows:
        raise TooMuch(f"{metadata.num_rows} rows, more than {max_rows}")
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise TooMuch(f"{metadata.num_rows} rows in groups of {rows[:5]}")
    unpacked = pages = 0
    for group in groups:
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.num_values != group.num_rows:
                raise TooMuch(f"{chunk.num_values} values in a column of {group.num_rows} rows")
            size, count = _chunk_bytes(chunk, data, max_bytes - unpacked, MAX_PAGES - pages)
            unpacked, pages = unpacked + size, pages + count


def _chunk_bytes(chunk: Any, data: bytes, bytes_left: int, pages_left: int) -> tuple[int, int]:
    """Return the unpacked size of a column chunk's pages, and their number."""
    if chunk.num_values == 0:
        return 0, 0  # no page is read
    starts = [chunk.data_page_offset, chunk.dictionary_page_offset]
    start = min((offset for offset in starts if offset is not None and offset > 0), default=0)
    end = start + chunk.total_compressed_size
    if not 0 < start <= end <= len(data):
        raise TooMuch(f"a column from byte {start} to {end} in a file of {len(data)}")
    unpacked = pages = 0
    while start < end:
        size, packed, start = _Header(data, start, end).sizes()
        unpacked, pages, start = unpacked + size, pages + 1, start + packed
        if size < 0 or packed < 0 or start > end or unpacked > bytes_left or pages > pages_left:
            raise TooMuch("its pages unpack to more than is allowed, or are not laid out as the footer says")
    return unpacked, pages


class _Header:
    """One page header, read field by field."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data = data
        self._place = place
        self._end = end

    def sizes(self) -> tuple[int, int, int]:
        """Return the page's uncompressed and compressed sizes, and where its bytes begin."""
        found = {2: -1, 3: -1}
        field = 0
        while (head := self._byte()) != _STOP:
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            if field in found and head & 15 == _I32:
                found[field] = self._zigzag()
            else:
                self._skip(head & 15, _MAX_SKIPPED_DEPTH)
        return found[2], found[3], self._place

    def _skip(self, kind: int, depth: int) -> None:
        if depth == 0:
            raise TooMuch("a page header is nested too deep")
        if kind in (_TRUE, _FALSE):
            return
        if kind in (_BYTE, _DOUBLE):
            self._go(1 if kind == _BYTE else 8)
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _BINARY:
            self._go(self._varint())
        elif kind == _STRUCT:
            while (head := self._byte()) != _STOP:
                if not head >> 4:
                    self._varint()
                self._skip(head & 15, depth - 1)
        elif kind in (_LIST, _SET):
            self._skip_list(depth)
        else:
            raise TooMuch("a page header is no Thrift")  # maps are nowhere in it

    def _skip_list(self, depth: int) -> None:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        for _ in range(count):
            if head & 15 in (_TRUE, _FALSE):
                self._go(1)
            else:
                self._skip(head & 15, depth - 1)

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
        raise TooMuch("a number in a page header has no end")

    def _byte(self) -> int:
        self._go(1)
        return self._data[self._place - 1]

    def _go(self, count: int) -> None:
        self._place += count
        if self._place > self._end:
            raise TooMuch("a page header reaches past its column")
