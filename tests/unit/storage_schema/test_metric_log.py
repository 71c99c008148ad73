from __future__ import annotations

import contextlib
import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_schema import metric_log
from storage_schema.errors import DamagedRecord
from storage_schema.metric_log import (
    Row,
    curves,
    merged,
    read_segment,
    table_bytes,
    thinned,
    write_segment,
)
from storage_schema.records import Curve, SegmentRef

ROWS = st.lists(
    st.builds(
        Row,
        resource=st.integers(0, 30),
        metric=st.sampled_from(["loss", "acc", "é ü"]),
        value=st.floats(allow_nan=True, allow_infinity=True),
        at=st.floats(0, 1e10),
    ),
    max_size=40,
)
SEGMENTS = st.lists(st.tuples(ROWS, st.none() | st.integers(0, 30)), max_size=5)


def ref(until: int | None = None) -> SegmentRef:
    return SegmentRef(key="metrics/x", sha256="0", until=until)


def parts(segments: list[tuple[list[Row], int | None]]) -> list[tuple[SegmentRef, pa.Table]]:
    return [(ref(until), read_segment(write_segment(rows), "k")) for rows, until in segments]


def by_hand(segments: list[tuple[list[Row], int | None]], start: int) -> dict[str, Curve]:
    """The definition, row by row."""
    points: dict[str, dict[int, float | None]] = {}
    for rows, until in segments:
        for row in rows:
            if (until is None or row.resource <= until) and (start == 0 or row.resource > start):
                value = row.value if math.isfinite(row.value) else None
                points.setdefault(row.metric, {})[row.resource] = value
    return {name: tuple(sorted(curve.items())) for name, curve in points.items()}


@given(ROWS)
def test_what_is_written_is_read(rows: list[Row]) -> None:
    table = read_segment(write_segment(rows), "k")
    found = [
        Row(*values)
        for values in zip(
            *(table.column(n).to_pylist() for n in ("resource", "metric", "value", "at")), strict=True
        )
    ]
    assert repr(found) == repr(rows)  # NaN is not equal to itself


@given(SEGMENTS, st.integers(0, 10))
def test_curves_are_what_their_definition_says(
    segments: list[tuple[list[Row], int | None]], start: int
) -> None:
    assert curves(parts(segments), start) == by_hand(segments, start)


@given(SEGMENTS, st.integers(0, 10))
def test_merging_changes_no_curve(segments: list[tuple[list[Row], int | None]], start: int) -> None:
    table = read_segment(table_bytes(merged(parts(segments))), "k")
    assert curves([(ref(), table)], start) == by_hand(segments, start)


@given(
    st.dictionaries(st.integers(0, 5000), st.none() | st.floats(-1e9, 1e9), min_size=65, max_size=300),
    st.lists(st.integers(1, 5000), max_size=8),
)
def test_thinning_keeps_what_rungs_compare_and_the_extremes(
    points: dict[int, float | None], levels: list[int]
) -> None:
    curve = tuple(sorted(points.items()))
    thin = thinned(curve, levels)
    assert len(thin) <= 64
    assert set(thin) <= set(curve)
    assert thin == tuple(sorted(thin))
    assert (thin[0], thin[-1]) == (curve[0], curve[-1])
    finite = [value for _, value in curve if value is not None]
    if finite:
        assert {min(finite), max(finite)} <= {value for _, value in thin}
    for level in levels:
        before = [point for point in curve if point[0] <= level]
        assert not before or before[-1] in thin


def test_a_short_curve_is_not_thinned() -> None:
    curve = tuple((epoch, 1.0) for epoch in range(64))
    assert thinned(curve, ()) == curve


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"resource": [1], "metric": ["a"], "value": [1.0]}),
        pa.table({"resource": [1.5], "metric": ["a"], "value": [1.0], "at": [0.0]}),
        pa.table({"resource": [1], "metric": ["a"], "value": [1.0], "at": [0.0], "x": [1]}),
        pa.table({"resource": [1], "metric": ["a"], "value": pa.array([None], pa.float64()), "at": [0.0]}),
        pa.table({"resource": [-1], "metric": ["a"], "value": [1.0], "at": [0.0]}),
        pa.table({"resource": [10**10], "metric": ["a"], "value": [1.0], "at": [0.0]}),
    ],
)
def test_another_schema_is_refused_and_named(table: pa.Table) -> None:
    out = io.BytesIO()
    pq.write_table(table, out)
    with pytest.raises(DamagedRecord, match="metrics/y"):
        read_segment(out.getvalue(), "metrics/y")


def test_a_plain_file_of_another_writer_is_read() -> None:
    out = io.BytesIO()
    pq.write_table(
        pa.table({"resource": [2], "metric": ["a"], "value": [1.0], "at": [0.0]}),
        out,
        store_schema=False,
        compression="gzip",
    )
    assert curves([(ref(), read_segment(out.getvalue(), "k"))], 0) == {"a": ((2, 1.0),)}


@settings(max_examples=400)
@given(st.integers(0, 1 << 14), st.integers(1, 255))
def test_flipped_bytes_are_refused_or_read_as_rows(place: int, flip: int) -> None:
    data = bytearray(write_segment([Row(epoch, "loss", 0.5, 1.0) for epoch in range(100)]))
    data[place % len(data)] ^= flip
    with contextlib.suppress(DamagedRecord):  # and no other error
        curves([(ref(), read_segment(bytes(data), "k"))], 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedRecord):
        read_segment(data, "k")


def test_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_segment([Row(epoch, "loss", 0.5, 1.0) for epoch in range(11)])
    monkeypatch.setattr(metric_log, "MAX_SEGMENT_ROWS", 10)
    with pytest.raises(DamagedRecord, match="11 rows, more than 10"):
        read_segment(data, "k")
    monkeypatch.setattr(metric_log, "MAX_SEGMENT_BYTES", 10)
    with pytest.raises(DamagedRecord, match="more than 10"):
        read_segment(data, "k")
