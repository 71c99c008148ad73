"""Laws of parameters and spaces."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hpo_pipe.choices import CategoricalParameter
from hpo_pipe.parameters import FloatParameter, IntParameter
from hpo_pipe.space import Space
from storage_schema.errors import StudyFileError, UserError

UNIT = st.floats(0, 1)
FINITE = st.floats(-1e9, 1e9)


@st.composite
def floats(draw):
    low, width = draw(FINITE), draw(st.floats(0, 1e9))
    log = draw(st.booleans())
    step = draw(st.none() | st.floats(1e-3, 10).map(lambda q: round(q, 3)))
    if log:
        low = draw(st.floats(1e-12, 1e6))
        assume(step is None or low > step / 2)
    if step is not None:
        width = min(width, 1000 * step)
    return FloatParameter(name="p", min=low, max=low + width, log=log, step=step)


@st.composite
def integers(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -(10**6), 10**6))
    step = draw(st.integers(1, 2 * low - 1 if log else 50))
    return IntParameter(name="p", min=low, max=low + draw(st.integers(0, 10**6)), log=log, step=step)


VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | st.text(max_size=5)


@st.composite
def categoricals(draw):
    try:
        return CategoricalParameter(name="p", values=tuple(draw(st.lists(VALUES, min_size=1, max_size=8))))
    except ValueError:
        assume(False)


PARAMETERS = st.one_of(floats(), integers(), categoricals())


@given(PARAMETERS, UNIT)
def test_decoded_values_are_the_parameters_own(parameter, u):
    value = parameter.decode(u)
    assert parameter.checked(value) == value
    assert 0 <= parameter.encode(value) <= 1


@given(PARAMETERS, UNIT)
def test_discrete_values_survive_the_cube(parameter, u):
    assume(parameter.size is not None)
    value = parameter.decode(u)
    assert parameter.decode(parameter.encode(value)) == value


@given(floats(), UNIT)
def test_continuous_values_survive_the_cube(parameter, u):
    assume(parameter.size is None and parameter.max - parameter.min > 1e-6 * abs(parameter.max))
    value = parameter.decode(u)
    assert parameter.decode(parameter.encode(value)) == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(floats(), UNIT, UNIT)
def test_decoding_is_monotone(parameter, u, v):
    low, high = sorted((u, v))
    assert parameter.decode(low) <= parameter.decode(high)


@given(st.lists(PARAMETERS, min_size=1, max_size=5))
def test_json_round_trip(parameters):
    named = [{**p.to_json(), "name": f"p{i}"} for i, p in enumerate(parameters)]
    space = Space.from_json(named)
    assert Space.from_json(space.to_json()) == space


def test_every_integer_owns_an_equal_cell():
    parameter = IntParameter(name="n", min=-1, max=3)
    counts = Counter(parameter.decode((i + 0.5) / 5000) for i in range(5000))
    assert counts == dict.fromkeys(range(-1, 4), 1000)


def test_log_integers_own_cells_of_their_widened_logarithm():
    parameter = IntParameter(name="n", min=1, max=4, log=True)
    counts = Counter(parameter.decode((i + 0.5) / 10000) for i in range(10000))
    for n in range(1, 5):
        share = math.log((n + 0.5) / (n - 0.5)) / math.log(4.5 / 0.5)
        assert counts[n] / 10000 == pytest.approx(share, abs=1e-3)


def test_steps_are_decimal():
    parameter = FloatParameter(name="x", min=0.1, max=0.75, step=0.1)
    assert [parameter.at(i) for i in range(parameter.size)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert FloatParameter(name="x", min=0.05, max=1, step=0.1).at(3) == 0.35


def test_identity_tells_one_from_true_and_ignores_order():
    space = Space.from_json([{"name": "a", "type": "categorical", "values": [1, True, 1.5, "1"]}])
    identities = {space.identity({"a": value}) for value in (1, True, 1.5, "1")}
    assert len(identities) == 4
    assert space.identity({"a": 1, "b": 2}) == space.identity({"b": 2, "a": 1})


def test_constants_and_single_values_own_no_dimension():
    space = Space.from_json(
        [
            {"name": "a", "type": "constant", "value": [1, 2]},
            {"name": "b", "type": "int", "min": 3, "max": 3},
            {"name": "c", "type": "bool"},
        ]
    )
    assert [p.name for p in space.dimensions] == ["c"]
    assert space.size == 2
    assert space.decode(np.array([0.9])) == {"a": [1, 2], "b": 3, "c": True}
    assert space.encode({"a": [1, 2], "b": 3, "c": True}).tolist() == [0.75]
    assert [space.configuration(i)["c"] for i in range(2)] == [False, True]


SPACE = Space.from_json(
    [
        {"name": "lr", "type": "float", "min": 1e-4, "max": 0.1, "log": True},
        {"name": "drop", "type": "float", "min": 0, "max": 0.5, "step": 0.1},
        {"name": "layers", "type": "int", "min": 1, "max": 9, "step": 2},
        {"name": "act", "type": "categorical", "values": ["relu", "tanh"]},
        {"name": "momentum", "type": "constant", "value": 0.9},
    ]
)


def test_check_converts_and_completes():
    given_ = {"layers": 3, "lr": 0.1, "act": "tanh", "drop": 0.30000000000000004}
    found = SPACE.check(given_)
    assert found == {"lr": 0.1, "drop": 0.3, "layers": 3, "act": "tanh", "momentum": 0.9}
    assert list(found) == list(SPACE.names)
    assert SPACE.check({"layers": 3}, partial=True) == {"layers": 3}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"x": 0.1}, "parameter x is not known, allowed: lr, drop, layers, act, momentum"),
        (
            {"layer": 1},
            "parameter layer is not known (did you mean 'layers'?), allowed: lr, drop, layers, act, momentum",
        ),
        ({"lr": "0.1"}, "parameter lr is '0.1', expected a number from 0.0001 to 0.1"),
        ({"lr": True}, "parameter lr is True, expected a number from 0.0001 to 0.1"),
        ({"lr": math.nan}, "parameter lr is nan, expected a number from 0.0001 to 0.1"),
        ({"drop": 0.25}, "parameter drop is 0.25, expected a number from 0.0 to 0.5 in steps of 0.1"),
        ({"layers": 3.0}, "parameter layers is 3.0, expected an integer from 1 to 9 in steps of 2"),
        ({"layers": 4}, "parameter layers is 4, expected an integer from 1 to 9 in steps of 2"),
        ({"act": "gelu"}, "parameter act is 'gelu', expected one of 'relu', 'tanh'"),
        ({"momentum": 0.8}, "parameter momentum is 0.8, expected 0.9, which this study keeps constant"),
        (
            {"lr": 1, "act": 0},
            "parameter lr is 1, expected a number from 0.0001 to 0.1\n"
            "parameter act is 0, expected one of 'relu', 'tanh'",
        ),
    ],
)
def test_check_names_what_is_wrong(given_, message):
    with pytest.raises(UserError) as caught:
        SPACE.check(given_, partial=True)
    assert str(caught.value) == message


def test_check_names_what_is_missing():
    with pytest.raises(UserError, match="parameter drop is missing\nparameter layers is missing"):
        SPACE.check({"lr": 0.1, "act": "relu"})


def test_twice_the_same_name():
    with pytest.raises(StudyFileError, match=r"parameters\.a is there twice"):
        Space.from_json([{"name": "a", "type": "bool"}, {"name": "a", "type": "bool"}])
