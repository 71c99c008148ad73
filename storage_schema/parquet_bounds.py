"""How much a Parquet file unpacks to, from its page headers: checked before a Parquet reader sees it.

The footer's sizes are a stranger's word: a reader does not use them, and a few KiB of zstd may unpack to gigabytes.
What a reader does use is each page header's uncompressed size: no page unpacks to more. So the headers are walked
here, and added up. Field numbers are those of parquet.thrift.
"""

from __future__ import annotations

from typing import Any

from storage_schema.thrift import BadThrift, Struct, read_struct

MAX_PAGES = 100_000
THRIFT_LIMITS = {"thrift_string_size_limit": 1 << 20, "thrift_container_size_limit": 1 << 16}
"""For the Parquet reader: its own are 100 MB and a million, and a list is laid out at the length that it claims."""

_MAGIC = b"PAR1"
_NUM_ROWS, _ROW_GROUPS = 3, 4  # of FileMetaData
_COLUMNS, _GROUP_ROWS = 1, 3  # of RowGroup
_META_DATA = 3  # of ColumnChunk
_NUM_VALUES, _PACKED_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = 5, 7, 9, 11  # of ColumnMetaData
_UNPACKED, _PACKED = 2, 3  # of PageHeader


class TooMuch(ValueError):
    """The file holds more than the reader allows, or is not laid out as Parquet has it."""


def check_unpacked(data: bytes, *, max_rows: int, max_bytes: int) -> None:
    """Raise TooMuch where a file of flat columns holds more rows, or unpacks to more bytes, than allowed.

    Args:
        data: the whole file.
        max_rows: rows in each column.
        max_bytes: of all pages together, unpacked.

    Raises:
        TooMuch: also where a column chunk says another number of values than its row group has rows.
    """
    try:
        _check(data, max_rows, max_bytes)
    except (
        BadThrift,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # a field is missing, or of another kind
        raise TooMuch(f"not laid out as Parquet has it: {type(error).__name__}: {error}") from None


def _check(data: bytes, max_rows: int, max_bytes: int) -> None:
    size = int.from_bytes(data[-8:-4], "little")
    if data[:4] != _MAGIC or data[-4:] != _MAGIC or size > len(data) - 12:
        raise TooMuch("no Parquet file")
    footer, _ = read_struct(data, len(data) - 8 - size, len(data) - 8)
    groups = footer[_ROW_GROUPS]
    rows = [group[_GROUP_ROWS] for group in groups]
    if footer[_NUM_ROWS] > max_rows:
        raise TooMuch(f"{footer[_NUM_ROWS]} rows, more than {max_rows}")
    if min(rows, default=0) < 0 or sum(rows) != footer[_NUM_ROWS]:
        raise TooMuch(f"{footer[_NUM_ROWS]} rows in groups of {rows[:5]}")
    unpacked = pages = 0
    for group in groups:
        for column in group[_COLUMNS]:
            chunk = column[_META_DATA]
            if chunk[_NUM_VALUES] != group[_GROUP_ROWS]:
                raise TooMuch(f"{chunk[_NUM_VALUES]} values in a column of {group[_GROUP_ROWS]} rows")
            more = _chunk_bytes(chunk, data, max_bytes - unpacked, MAX_PAGES - pages)
            unpacked, pages = unpacked + more[0], pages + more[1]


def _chunk_bytes(chunk: Struct, data: bytes, bytes_left: int, pages_left: int) -> tuple[int, int]:
    """Return the unpacked size of a column chunk's pages, and their number."""
    if chunk[_NUM_VALUES] == 0:
        return 0, 0  # no page is read
    offsets: list[Any] = [chunk[_DATA_PAGE], chunk.get(_DICTIONARY_PAGE, 0)]
    start = min((offset for offset in offsets if offset > 0), default=0)
    end = start + chunk[_PACKED_SIZE]
    if not 0 < start <= end <= len(data):
        raise TooMuch(f"a column from byte {start} to {end} in a file of {len(data)}")
    unpacked = pages = 0
    while start < end:
        header, body = read_struct(data, start, end)
        size, packed = header[_UNPACKED], header[_PACKED]
        unpacked, pages, start = unpacked + size, pages + 1, body + packed
        if size < 0 or packed < 0 or start > end or unpacked > bytes_left or pages > pages_left:
            raise TooMuch("its pages unpack to more than is allowed, or are not laid out as the footer says")
    return unpacked, pages
