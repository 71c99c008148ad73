"""The metric log: Parquet segments in long form, and the canonical curves that they add up to (PROTOCOL.md, section 7).

A segment has the columns ``resource`` int64, ``metric`` string, ``value`` float64 (NaN and infinities are
measurements too) and ``at`` float64 (author's clock, seconds since the epoch; for people only).
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage_schema.errors import DamagedRecord
from storage_schema.keys import MAX_RESOURCE
from storage_schema.parquet_bounds import THRIFT_LIMITS, check_unpacked
from storage_schema.records import Curve, SegmentRef

MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_SEGMENT_ROWS = 5_000_000
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
CURVE_POINTS = 64
"""A curve in the log keeps at most about so many points."""

_METRIC = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("resource", pa.int64(), nullable=False),
        pa.field("metric", _METRIC, nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("at", pa.float64(), nullable=False),
    ]
)
_ALLOWED = {
    "resource": (pa.int64(),),
    "metric": (_METRIC, pa.string(), pa.large_string()),
    "value": (pa.float64(),),
    "at": (pa.float64(),),
}
MAX_NAMES = 10_000
"""Different metrics in a segment."""
MAX_NAME_CHARACTERS = 200
_READ_OPTIONS = {"read_dictionary": ["metric"], **THRIFT_LIMITS}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    resource: int
    metric: str
    value: float
    at: float


def write_segment(rows: Sequence[Row]) -> bytes:
    """Return the Parquet file of `rows`, in their order."""
    names = sorted({row.metric for row in rows})
    place = {name: number for number, name in enumerate(names)}
    metric = pa.DictionaryArray.from_arrays(
        pa.array([place[row.metric] for row in rows], pa.int32()), pa.array(names, pa.string())
    )
    columns = [
        pa.array([row.resource for row in rows], pa.int64()),
        metric,
        pa.array([row.value for row in rows], pa.float64()),
        pa.array([row.at for row in rows], pa.float64()),
    ]
    return table_bytes(pa.Table.from_arrays(columns, schema=SCHEMA))


def table_bytes(table: pa.Table) -> bytes:
    """Return the Parquet file of a table with the columns of :data:`SCHEMA`."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", use_dictionary=["metric"], write_statistics=False)
    return out.getvalue()


def read_segment(data: bytes, key: str) -> pa.Table:
    """Return the rows of a segment's bytes as a table of :data:`SCHEMA`; `key` names it in errors.

    Raises:
        DamagedRecord: not such a file, too large, too many rows, another schema, nulls, a resource out of range.
    """
    if len(data) > MAX_SEGMENT_BYTES:
        raise DamagedRecord(key, f"{len(data)} bytes, more than {MAX_SEGMENT_BYTES}")
    try:
        check_unpacked(data, max_rows=MAX_SEGMENT_ROWS, max_bytes=MAX_UNPACKED_BYTES)
        file = pq.ParquetFile(pa.BufferReader(data), **_READ_OPTIONS)
        _check_shape(file, key)
        table = file.read(use_threads=False)
        table.validate(full=True)  # also that names are UTF-8, which is not checked on reading
    except (
        MemoryError
    ):  # one of Arrow's errors is both: this machine is short of memory, and the file may be sound
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise DamagedRecord(key, f"not a readable Parquet file: {str(error)[:200]}") from None
    _check_rows(table, key)
    return table.cast(SCHEMA)


def curves(parts: Iterable[tuple[SegmentRef, pa.Table]], start: int) -> dict[str, Curve]:
    """Return the canonical curve of each metric of a spec.

    Args:
        parts: the segments that the spec's last link names, in that order, as read.
        start: the resource of the checkpoint that the spec started from; rows at or before it belong to an
            earlier spec. 0 where the spec started from nothing: then all rows count.

    Returns:
        metric to (resource, value) in rising resource. Of several rows for one resource the last one counts;
        rows past their segment's `until` do not. None stands for a value that is not finite.
    """
    columns = _Columns.of(parts)
    if start > 0:
        columns = columns.where(columns.resource > start)
    return {name: columns.curve(place) for place, name in enumerate(columns.names) if place in columns.used}


def thinned(curve: Curve, must: Collection[int], keep: int = CURVE_POINTS) -> Curve:
    """Return at most about `keep` points of a curve.

    What is always kept: the first and the last point, the smallest and the greatest value, and for each level
    in `must` the last point at or before it, which is what a rung compares.
    """
    if len(curve) <= keep:
        return curve
    resources = np.array([resource for resource, _ in curve])
    wanted = {0, len(curve) - 1, *_extremes(curve)}
    wanted |= {int(np.searchsorted(resources, level, side="right")) - 1 for level in must}
    wanted.discard(-1)
    spare = max(0, keep - len(wanted))
    if spare:
        wanted |= {int(place) for place in np.linspace(0, len(curve) - 1, spare).round()}
    return tuple(curve[place] for place in sorted(wanted))


def merged(parts: Sequence[tuple[SegmentRef, pa.Table]]) -> pa.Table:
    """Return one table with the rows that count of `parts`: of rows for one metric and resource only the last."""
    columns = _Columns.of(parts)
    order = np.lexsort((np.arange(len(columns.resource)), columns.metric, columns.resource))
    resource, metric = columns.resource[order], columns.metric[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (resource[1:] != resource[:-1]) | (metric[1:] != metric[:-1])
    kept = order[last]
    names = pa.DictionaryArray.from_arrays(
        pa.array(columns.metric[kept], pa.int32()), pa.array(columns.names, pa.string())
    )
    arrays = [
        pa.array(columns.resource[kept], pa.int64()),
        names,
        pa.array(columns.value[kept], pa.float64()),
        pa.array(columns.at[kept], pa.float64()),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The rows of several segments, one after another, with one numbering of the metrics."""

    names: list[str]
    resource: npt.NDArray[np.int64]
    metric: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    at: npt.NDArray[np.float64]

    @classmethod
    def of(cls, parts: Iterable[tuple[SegmentRef, pa.Table]]) -> _Columns:
        numbers: dict[str, int] = {}
        pieces = [_piece(ref, table, numbers) for ref, table in parts]
        if not pieces:
            pieces = [_piece_of_nothing()]
        resource, metric, value, at = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return cls(list(numbers), resource, metric, value, at)

    @property
    def used(self) -> set[int]:
        return set(np.unique(self.metric).tolist())

    def where(self, mask: npt.NDArray[np.bool_]) -> _Columns:
        return _Columns(self.names, self.resource[mask], self.metric[mask], self.value[mask], self.at[mask])

    def curve(self, metric: int) -> Curve:
        mine = self.metric == metric
        points: Mapping[int, float] = dict(
            zip(self.resource[mine].tolist(), self.value[mine].tolist(), strict=True)
        )
        return tuple((r, v if np.isfinite(v) else None) for r, v in sorted(points.items()))


_Piece = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _piece(ref: SegmentRef, table: pa.Table, numbers: dict[str, int]) -> _Piece:
    metric = table.column("metric").combine_chunks()
    if isinstance(metric, pa.ChunkedArray):
        metric = pa.concat_arrays(metric.chunks) if metric.num_chunks else pa.array([], _METRIC)
    here = [numbers.setdefault(name, len(numbers)) for name in metric.dictionary.to_pylist()]
    renumber = np.array(here, dtype=np.int32) if here else np.zeros(1, dtype=np.int32)
    resource = table.column("resource").to_numpy()
    rows = slice(None) if ref.until is None else resource <= ref.until
    return (
        resource[rows],
        renumber[metric.indices.to_numpy(zero_copy_only=False)][rows],
        table.column("value").to_numpy()[rows],
        table.column("at").to_numpy()[rows],
    )


def _piece_of_nothing() -> _Piece:
    return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0), np.zeros(0)


def _extremes(curve: Curve) -> set[int]:
    finite = [(value, place) for place, (_, value) in enumerate(curve) if value is not None]
    return {min(finite)[1], max(finite)[1]} if finite else set()


def _check_shape(file: pq.ParquetFile, key: str) -> None:
    found = {field.name: field.type for field in file.schema_arrow}
    if list(found) != list(_ALLOWED) or any(found[name] not in _ALLOWED[name] for name in found):
        raise DamagedRecord(key, f"columns are {str(found)[:200]}, expected {', '.join(_ALLOWED)}")


def _names(chunk: pa.DictionaryArray, key: str) -> list[str]:
    count, size = len(chunk.dictionary), chunk.dictionary.nbytes
    if count > MAX_NAMES or size > MAX_NAMES * 4 * MAX_NAME_CHARACTERS:
        raise DamagedRecord(
            key, f"{count} metrics of {size} bytes, more than {MAX_NAMES} or names that are too long"
        )
    names: list[str] = chunk.dictionary.to_pylist()
    return names


def _check_rows(table: pa.Table, key: str) -> None:
    if any(column.null_count for column in table.columns):
        raise DamagedRecord(key, "a value is null")
    names = {name for chunk in table.column("metric").chunks for name in _names(chunk, key)}
    if len(names) > MAX_NAMES or not all(
        0 < len(n) <= MAX_NAME_CHARACTERS and n.isprintable() for n in names
    ):
        allowed = f"at most {MAX_NAMES} of 1 to {MAX_NAME_CHARACTERS} printable characters"
        raise DamagedRecord(key, f"{len(names)} metrics, or one of a bad name; allowed are {allowed}")
    resource = table.column("resource").to_numpy()
    if len(resource) and not 0 <= resource.min() <= resource.max() <= MAX_RESOURCE:
        raise DamagedRecord(key, f"a resource is outside 0 to {MAX_RESOURCE}")
