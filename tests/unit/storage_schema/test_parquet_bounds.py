"""What a Parquet file unpacks to is known before it is unpacked, whatever its footer says."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage_schema.parquet_bounds import TooMuch, check_unpacked

ZEROS = pa.table({"a": pa.array([0.0] * 50_000), "b": pa.array(["x" * 20] * 50_000)})


def written(table: pa.Table = ZEROS, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def declared(data: bytes) -> int:
    """Return what an honest footer says of the unpacked size, headers included."""
    footer = pq.ParquetFile(pa.BufferReader(data)).metadata
    return sum(footer.row_group(place).total_byte_size for place in range(footer.num_row_groups))


def varint(number: int) -> bytes:
    """Return a number as Thrift's compact protocol has it: zigzag, seven bits a byte."""
    number, found = (number << 1) ^ (number >> 63), b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def lying(data: bytes, field: int, true: int, said: int) -> bytes:
    """Return a file whose footer says `said` for every i64 field of this number that holds `true`.

    Fields are written with the distance from the field before: all of 1 to 4 are tried.
    """
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    for distance in range(1, 5):
        head = bytes([distance << 4 | 6])
        footer = footer.replace(head + varint(true), head + varint(said))
    assert footer != data[-8 - size : -8], field
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "gzip"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_all_pages_are_found(compression: str, dictionary: bool, version: str) -> None:
    data = written(
        compression=compression,
        use_dictionary=dictionary,
        data_page_version=version,
        data_page_size=4096,
        row_group_size=20_000,
        write_page_checksum=True,
        write_statistics=True,
    )
    most = declared(data)
    check_unpacked(data, max_rows=50_000, max_bytes=most)
    with pytest.raises(TooMuch, match="unpack to more"):
        check_unpacked(data, max_rows=50_000, max_bytes=most * 9 // 10 - 20_000)
    with pytest.raises(TooMuch, match="50000 rows, more than 49999"):
        check_unpacked(data, max_rows=49_999, max_bytes=most)


def test_an_empty_file_holds_nothing() -> None:
    data = written(ZEROS.slice(0, 0))
    check_unpacked(data, max_rows=0, max_bytes=0)


def chunk(data: bytes) -> Any:
    return pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("rows", -50_000),
        ("rows", 2**40),
        ("total_compressed_size", 2**40),
        ("total_compressed_size", -1),
        ("total_compressed_size", 1),
        ("data_page_offset", 2**40),
        ("data_page_offset", 1),
        ("data_page_offset", -5),
    ],
)
def test_a_footer_that_contradicts_itself_is_refused(field: str, said: int) -> None:
    data = written(ZEROS.select(["a"]), use_dictionary=False, compression="zstd")
    true = 50_000 if field == "rows" else getattr(chunk(data), field)
    with pytest.raises(TooMuch):
        check_unpacked(lying(data, 0, true, said), max_rows=50_000, max_bytes=2**30)


def test_the_footers_sizes_are_not_believed() -> None:
    data = written(ZEROS.select(["a"]), use_dictionary=False, compression="zstd")
    unpacked = chunk(data).total_uncompressed_size
    forged = lying(data, 0, unpacked, 1)
    assert chunk(forged).total_uncompressed_size == 1
    with pytest.raises(TooMuch, match="unpack to more"):
        check_unpacked(forged, max_rows=50_000, max_bytes=100_000)
    check_unpacked(forged, max_rows=50_000, max_bytes=unpacked)


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1PAR1", b"PAR1\x00\x00\x00\x00PAR1", b"PAR1" + b"\xff" * 8 + b"PAR1"]
)
def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(TooMuch):
        check_unpacked(data, max_rows=1, max_bytes=1)


def footer_of(thrift: bytes) -> bytes:
    return b"PAR1" + thrift + len(thrift).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    "thrift",
    [
        b"\x1c" * 100_000,  # structs in structs
        b"\x19" * 100_000,  # lists in lists
        b"\x49\xfc\xff\xff\xff\xff\x0f",  # a list of four thousand million structs
        b"\x19\xf3\xff\xff\xff\x7f" + b"\x01" * 1_100_000,
        b"\x18\xff\xff\xff\xff\x7f",  # a text longer than the file
        b"\x16" + b"\xff" * 20,  # a number without end
        b"\x1b\x00",  # a map
    ],
)
def test_thrift_bombs_are_refused_at_once(thrift: bytes) -> None:
    with pytest.raises(TooMuch, match="not laid out as Parquet has it"):
        check_unpacked(footer_of(thrift), max_rows=1, max_bytes=1)
