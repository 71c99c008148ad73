"""Small Parquet files that would unpack to gigabytes: refused in a process that has not got so much memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage_schema.metric_log import Row, write_segment
from tests.unit.storage_schema.test_parquet_bounds import lying

MOST_MEMORY_MIB = 1_500
"""Of address space beyond what the imports take. What is allowed, 512 MiB unpacked, may be there twice for a moment."""
MOST_CPU_S = 30
LARGE = 67_108_864
"""Rows that one row group takes."""

READER = """
import json, resource, sys
from hpo_pipe.coordinator import packs
from hpo_pipe.coordinator.packs import decode_pack
from storage_schema.errors import DamagedRecord
from storage_schema.metric_log import read_segment, write_segment, Row
from storage_schema.store.key_rules import max_bytes

read_segment(write_segment([Row(1, "a", 0.0, 0.0)]), "k")  # its threads and pools are there
with open("/proc/self/statm") as file:
    base = int(file.read().split()[0]) * resource.getpagesize()
most = base + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
packs.MAX_PACK_BYTES //= 16  # so that the test itself need not hold a GiB
with open(sys.argv[1], "rb") as file:
    data = file.read()
try:
    found = decode_pack(data, 63) if sys.argv[3] == "pack" else read_segment(data, "k")
    said = "taken"
except DamagedRecord as error:
    said = str(error)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"said": said, "cpu_s": usage.ru_utime + usage.ru_stime}))
"""


ONE_PAGE = {"data_page_size": 2**31 - 1, "row_group_size": LARGE, "max_rows_per_page": LARGE}


def written(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        table, out, **{"compression": "zstd", "use_dictionary": False, "write_statistics": False, **options}
    )
    return out.getvalue()


def rows(count: int, names: Any = None) -> pa.Table:
    names = (
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["a"]) if names is None else names
    )
    zeros = np.zeros(count)
    return pa.table({"resource": np.zeros(count, np.int64), "metric": names, "value": zeros, "at": zeros})


def one_great_page() -> bytes:
    """A footer that says ten rows, and pages of more than a GiB each."""
    table = pa.table({"value": np.zeros(LARGE)})
    return lying(written(table, **ONE_PAGE), 0, LARGE, 10)


def as_segment_of_great_pages() -> bytes:
    """The same with a segment's columns: in run-length encoding, gigabytes are a few bytes."""
    count = LARGE
    data = written(rows(count), use_dictionary=["metric"], **ONE_PAGE)
    return lying(data, 0, count, 10)


def one_great_name() -> bytes:
    return written(rows(1, pa.array(["x" * 540_000_000])))


def names_of_a_mib() -> bytes:
    return written(
        rows(400, pa.array([f"{n}" + "x" * 1_000_000 for n in range(400)])), use_dictionary=["metric"]
    )


def a_million_names() -> bytes:
    return written(rows(1_000_000, pa.array([f"metric {n}" for n in range(1_000_000)])))


def many_rows() -> bytes:
    return written(rows(6_000_000), use_dictionary=["metric"])


def many_row_groups() -> bytes:
    return written(rows(30_000), row_group_size=1)


def many_pages() -> bytes:
    return written(rows(26_000), data_page_size=1, write_batch_size=1)


def many_columns() -> bytes:
    return written(pa.table({f"c{n}": [1] for n in range(20_000)}))


def nested() -> bytes:
    kind: pa.DataType = pa.int64()
    for _ in range(60):
        kind = pa.list_(kind)
    return written(
        pa.table({"resource": pa.array([None], kind), "metric": ["a"], "value": [0.0], "at": [0.0]})
    )


def great_footer() -> bytes:
    return written(rows(1).replace_schema_metadata({"x": "y" * 10_000_000}))


def all_that_is_allowed() -> bytes:
    return written(rows(5_000_000), use_dictionary=["metric"])


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "one great page": (one_great_page, "unpack to more"),
    "a segment of great pages": (as_segment_of_great_pages, "unpack to more"),
    "one great name": (one_great_name, "unpack to more"),
    "names of a MiB": (names_of_a_mib, "names that are too long"),
    "a million names": (a_million_names, "1000000 metrics of"),
    "many rows": (many_rows, "6000000 rows, more than 5000000"),
    "many row groups": (many_row_groups, "1000000 values"),
    "many pages": (many_pages, "unpack to more"),
    "many columns": (many_columns, "columns are|size limit"),
    "nested": (nested, "columns are|nested"),
    "great footer": (great_footer, "size limit"),
    "all that is allowed": (all_that_is_allowed, "taken"),
}


def read(data: bytes, folder: Path, kind: str = "segment") -> dict[str, Any]:
    """Read a file in a process with little memory."""
    path = folder / "bomb.parquet"
    path.write_bytes(data)
    command = [sys.executable, "-W", "error", "-c", READER, str(path), str(MOST_MEMORY_MIB), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_within_bounds(bomb: str, tmp_path: Path) -> None:
    make, words = BOMBS[bomb]
    data = make()
    assert len(data) < 64 * 2**20, "else its size would be refused"
    found = read(data, tmp_path)
    assert any(word in found["said"] for word in words.split("|")), found
    assert found["said"].startswith("k: ") or words == "taken"
    assert found["cpu_s"] < MOST_CPU_S, found


def test_a_pack_that_unpacks_to_more_than_a_pack_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("entry", pa.int64()), pa.field("data", pa.binary())])
    entries = [b"x" * 1_100_000] * 64
    data = written(pa.table({"entry": range(64), "data": entries}, schema=schema))
    assert len(data) < 2**20
    found = read(data, tmp_path, "pack")
    assert found["said"].startswith("snapshots/00000063.parquet: not Parquet: its pages unpack to more")


def test_a_segment_of_the_workers_own_is_within_bounds(tmp_path: Path) -> None:
    data = write_segment([Row(n, f"m{n % 1000}", 0.0, 0.0) for n in range(100_000)])
    assert read(data, tmp_path)["said"] == "taken"
