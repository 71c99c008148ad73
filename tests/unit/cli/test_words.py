"""Numbers, durations and drawings as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.cli.logs import added
from hpo_pipe.cli.steer import configuration
from hpo_pipe.report.words import BLOCKS, duration, number, plain, sparkline
from storage_schema.codec import Json

NAMES = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.booleans(), st.integers(-(10**6), 10**6), st.text(max_size=20), st.lists(st.integers(), max_size=3)
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_best_prints_enqueue_reads_back(parameters: dict[str, Json]) -> None:
    assert configuration(tuple(f"{name}={plain(value)}" for name, value in parameters.items())) == parameters


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_floats_text_reads_back_exactly(value: float) -> None:
    assert float(plain(value)) == value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (59.6, "1 min"), (61, "1 min 1 s"), (7200, "2 h"), (90061, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e9))
def test_any_duration_can_be_said(seconds: float) -> None:
    assert duration(seconds)


@given(st.lists(st.floats(-1e6, 1e6), max_size=200), st.integers(2, 60))
def test_a_sparkline_fits_and_keeps_its_ends_apart(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    assert set(line) <= set(BLOCKS)
    if len(values) > 1 and values[0] == min(values) and values[-1] == max(values) > values[0]:
        assert (line[0], line[-1]) == (BLOCKS[0], BLOCKS[-1])


@pytest.mark.parametrize("value", [None, 3, 3.0, 0.1, 1e-9, -2.5, math.inf, math.nan])
def test_every_number_has_a_short_text(value: float | None) -> None:
    assert len(number(value)) <= 12


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_following_a_log_that_grows_prints_each_byte_once(before: bytes, more: bytes) -> None:
    assert added(before, before + more) == more


def test_following_a_log_whose_middle_went_prints_what_is_new() -> None:
    before = b"head " + b"".join(b"line %d\n" % n for n in range(1000))
    now = b"head \n... 5 bytes left out ...\n" + before[-5000:] + b"new\n"
    assert added(before, now) == b"new\n"
    gone = b"head \n... 50000 bytes left out ...\nlater\n"
    assert added(before, gone) == b"... 50000 bytes left out ...\nlater\n"
