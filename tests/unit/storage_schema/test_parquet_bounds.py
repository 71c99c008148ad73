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


def metadata(data: bytes) -> Any:
    return pq.ParquetFile(pa.BufferReader(data)).metadata


class Lying:
    """A footer, a row group or a column chunk that says something else than it is."""

    def __init__(self, inner: Any, **said: Any) -> None:
        self.inner, self.said = inner, said

    def __getattr__(self, name: str) -> Any:
        return self.said[name] if name in self.said else getattr(self.inner, name)

    def row_group(self, place: int) -> Any:
        return Lying(self.inner.row_group(place), **self.said.get("groups", {}))

    def column(self, place: int) -> Any:
        return Lying(self.inner.column(place), **self.said.get("columns", {}))


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
    footer = metadata(data)
    groups = [footer.row_group(place) for place in range(footer.num_row_groups)]
    declared = sum(group.total_byte_size for group in groups)  # with its headers, and honest here
    check_unpacked(footer, data, max_rows=50_000, max_bytes=declared)
    with pytest.raises(TooMuch, match="unpack to more"):
        check_unpacked(footer, data, max_rows=50_000, max_bytes=declared * 9 // 10 - 20_000)
    with pytest.raises(TooMuch, match="50000 rows, more than 49999"):
        check_unpacked(footer, data, max_rows=49_999, max_bytes=declared)


def test_an_empty_file_holds_nothing() -> None:
    data = written(ZEROS.slice(0, 0))
    check_unpacked(metadata(data), data, max_rows=0, max_bytes=0)


@pytest.mark.parametrize(
    "lie",
    [
        {"num_rows": 10},
        {"groups": {"num_rows": -50_000}},
        {"groups": {"columns": {"num_values": 2**60}}},
        {"groups": {"columns": {"data_page_offset": -5, "dictionary_page_offset": None}}},
        {"groups": {"columns": {"data_page_offset": 2**40, "dictionary_page_offset": None}}},
        {"groups": {"columns": {"total_compressed_size": 2**40}}},
        {"groups": {"columns": {"total_compressed_size": -1}}},
        {"groups": {"columns": {"data_page_offset": 1, "dictionary_page_offset": None}}},
    ],
)
def test_a_footer_that_contradicts_itself_is_refused(lie: dict[str, Any]) -> None:
    data = written()
    with pytest.raises(TooMuch):
        check_unpacked(Lying(metadata(data), **lie), data, max_rows=50_000, max_bytes=2**30)


def test_the_footers_sizes_are_not_believed() -> None:
    data = written(use_dictionary=False)
    lying = Lying(metadata(data), groups={"total_byte_size": 1, "columns": {"total_uncompressed_size": 1}})
    with pytest.raises(TooMuch, match="unpack to more"):
        check_unpacked(lying, data, max_rows=50_000, max_bytes=100_000)
