"""Laws of imported tuning jobs: ranges and texts survive the way through the request and the study file."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from hpo_pipe.study_file import read_study_mapping
from hpo_pipe.tuning_job import import_tuning_job, load_request
from hpo_pipe.tuning_job.parameters import LOG_FROM
from hpo_pipe.tuning_job.written import written
from tests.unit.tuning_job.requests import CONFIG, DEFINITION, changed, small

RANGES = (CONFIG, "ParameterRanges")
SCALES = st.sampled_from(["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
LINE = TEXT.filter(lambda text: not set(text) & set("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))


@st.composite
def continuous(draw: st.DrawFn) -> tuple[float, float, str]:
    scale = draw(SCALES)
    ends = {
        "Logarithmic": st.floats(1e-300, 1e300),
        "ReverseLogarithmic": st.floats(0, 1, exclude_max=True),
    }.get(scale, st.floats(-1e300, 1e300))
    low, high = sorted((draw(ends), draw(ends)))
    return low, high, scale


@st.composite
def integers(draw: st.DrawFn) -> tuple[int, int, str]:
    scale = draw(st.sampled_from(["Auto", "Linear", "Logarithmic"]))
    ends = st.integers(1 if scale == "Logarithmic" else -(2**53), 2**53)
    low, high = sorted((draw(ends), draw(ends)))
    return low, high, scale


def read_back(request: dict[str, Any]) -> Any:
    """Return the draft of the text that is written for a request, after the request itself was JSON."""
    found = import_tuning_job(load_request(json.dumps(request).encode(), "job.json"), "job.json")
    return read_study_mapping(tomllib.loads(found.text))


def expected_scale(low: float, high: float, scale: str) -> str:
    if scale == "Auto":
        return "log" if low > 0 and high / low >= LOG_FROM else "linear"
    return {"Linear": "linear", "Logarithmic": "log", "ReverseLogarithmic": "reverse-log"}[scale]


def ranged(low: float, high: float, scale: str) -> list[dict[str, str]]:
    return [{"Name": "x", "MinValue": repr(low), "MaxValue": repr(high), "ScalingType": scale}]


@given(continuous())
def test_ranges_of_numbers_survive_bit_for_bit(drawn: tuple[float, float, str]) -> None:
    low, high, _ = drawn
    request = changed(small(), ranged(*drawn), *RANGES, "ContinuousParameterRanges")
    parameter = next(p for p in read_back(request).space.parameters if p.name == "x")
    assert (parameter.min, parameter.max, parameter.scale) == (low, high, expected_scale(*drawn))
    for u in (0.0, 0.3, 1.0):
        assert low <= parameter.decode(u) <= high


@given(integers())
def test_ranges_of_integers_survive(drawn: tuple[int, int, str]) -> None:
    low, high, _ = drawn
    request = changed(small(), ranged(*drawn), *RANGES, "IntegerParameterRanges")
    parameter = next(p for p in read_back(request).space.parameters if p.name == "x")
    assert (parameter.min, parameter.max, parameter.scale) == (low, high, expected_scale(*drawn))


@given(st.lists(LINE, min_size=1, max_size=30, unique=True), LINE)
def test_texts_survive(values: list[str], constant: str) -> None:
    """As SageMaker's SDK writes them, as JSON, and as people do, bare."""
    listed = [{"Name": "x", "Values": [json.dumps(value, ensure_ascii=False) for value in values]}]
    assume(all(len(item) <= 256 for item in listed[0]["Values"]))
    assume(not (constant.startswith('"') and constant.endswith('"')))
    request = changed(small(), listed, *RANGES, "CategoricalParameterRanges")
    request = changed(request, {"c": constant}, DEFINITION, "StaticHyperParameters")
    found = {p.name: p for p in read_back(request).space.parameters}
    assert list(found["x"].values) == values
    assert found["c"].value == constant


JSON = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, JSON, max_size=5), TEXT)
def test_what_is_written_is_toml_that_says_the_same(tables: dict[str, Any], where: str) -> None:
    assert tomllib.loads(written(tables, (), {"studies": [where]}, where)) == tables
