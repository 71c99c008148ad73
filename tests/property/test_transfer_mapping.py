"""Configurations of one space in another: always whole, allowed, as near as can be, or of no use."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.space import Space
from hpo_pipe.toy_world import CONDITIONAL, FORBIDDEN
from hpo_pipe.transfer.mapping import FAR, default_of, mapped
from tests.property.random_spaces import spaces

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
UNIT = st.floats(0, 1)


def space_of(**parameters) -> Space:
    return Space.from_json([{"name": name, **item} for name, item in parameters.items()])


def drawn(data, space) -> dict:
    """Return some permitted or forbidden configuration of a space."""
    import numpy as np

    return space.decode(np.array([data.draw(UNIT) for _ in space.dimensions]))


@settings(max_examples=150)
@given(spaces(), st.data())
def test_a_configuration_of_the_space_stays_what_it_is(built, data):
    space, _, _ = built
    parameters = drawn(data, space)
    found = mapped(space, parameters)
    if not space.allowed(parameters):
        assert (found.parameters, found.problem) == (None, "a forbidden combination")
    else:
        assert found.parameters == parameters
        assert not found.unknown and not found.missing and not found.moved


@settings(max_examples=150)
@given(spaces(), spaces(), st.data())
def test_whatever_comes_in_what_comes_out_is_of_the_space(one, other, data):
    source, target = one[0], other[0]
    strange = data.draw(st.dictionaries(st.sampled_from("abcdefgh"), ANYTHING, max_size=4))
    given_ = {**drawn(data, source), **strange}
    found = mapped(target, given_)
    assert set(found.unknown) == set(given_) - set(target.names)
    if found.parameters is None:
        assert found.problem
        return
    assert target.check(found.parameters) == found.parameters
    assert list(found.parameters) == [name for name in target.names if name in found.parameters]
    again = mapped(target, found.parameters)
    assert (again.parameters, again.moved, again.missing) == (found.parameters, (), ())
    for name in set(found.parameters) - set(found.missing) - set(found.moved):
        if name not in given_:
            assert {p.name: p for p in target.parameters}[name].size == 1


LOG = {"type": "float", "min": 1e-4, "max": 1e-1, "log": True}
INT = {"type": "int", "min": 10, "max": 20}
STEPS = {"type": "int", "min": 8, "max": 64, "step": 8}
GRID = {"type": "float", "min": 0.0, "max": 1.0, "step": 0.25}
ORDERED = {"type": "ordinal", "values": [16, 32, 64]}
LISTED = {"type": "categorical", "values": ["a", "b"]}
TABLE = [  # parameter, value there, value here (None: of no use), whether it was moved
    (LOG, 0.01, 0.01, False),
    (LOG, 0.3, 0.1, True),  # ln 3 / ln 1000 = 16 % of the range
    (LOG, 0.5, None, True),  # 23 %
    (LOG, 4e-5, 1e-4, True),
    (LOG, 0.0, None, True),  # off the scale
    (LOG, -1.0, None, True),
    (LOG, math.inf, None, True),
    (LOG, "0.01", None, True),
    (LOG, True, None, True),
    (LOG, 1, None, True),
    (INT, 12, 12, False),
    (INT, 12.4, 12, False),
    (INT, 22, 20, True),
    (INT, 8, 10, True),
    (INT, 23, None, True),
    (STEPS, 12, 8, False),  # half a step: to the even one
    (STEPS, 30, 32, False),
    (STEPS, 70, 64, True),
    (GRID, 0.3, 0.25, False),
    (GRID, 1.1, 1.0, True),
    (GRID, 1.3, None, True),
    ({"type": "float", "min": 0.5, "max": 0.99, "scale": "reverse-log"}, 1.0, None, True),
    ({"type": "float", "min": 0.5, "max": 0.99, "scale": "reverse-log"}, 0.993, 0.99, True),
    ({"type": "float", "min": 0.5, "max": 0.99, "scale": "logit"}, 0.4, 0.5, True),
    (ORDERED, 32, 32, False),
    (ORDERED, 40, 32, True),
    (ORDERED, 70, 64, True),
    (ORDERED, 128, None, True),
    ({"type": "ordinal", "values": ["s", "m"]}, 3, None, True),
    (LISTED, "b", "b", False),
    (LISTED, "c", None, True),
    ({"type": "bool"}, 1, None, True),
    ({"type": "constant", "value": 0.9}, 0.5, 0.9, True),
    ({"type": "float", "min": 0.9, "max": 0.9}, 0.5, 0.9, True),
]


@pytest.mark.parametrize(("item", "there", "here", "moved"), TABLE)
def test_table(item, there, here, moved):
    found = mapped(space_of(p=item), {"p": there})
    assert found.parameters == (None if here is None else {"p": here})
    assert found.problem == ("p" if here is None else "")
    assert here is None or found.moved == (("p",) if moved else ())


@settings(max_examples=200)
@given(st.floats(-3, 4), st.sampled_from([(0.0, 1.0), (-2.0, -1.0), (0.25, 2.25)]))
def test_a_fifth_of_the_range_is_the_limit(value, ends):
    low, high = ends
    found = mapped(space_of(p={"type": "float", "min": low, "max": high}), {"p": value})
    beyond = max(low - value, value - high) / (high - low)
    if abs(beyond - FAR) > 1e-9:
        assert (found.parameters is None) == (beyond > FAR)


def test_defaults_of_what_is_missing():
    space = space_of(
        lr={**LOG, "prior": {"value": 0.001, "confidence": 0.99}},
        n=INT,
        size=ORDERED,
        act=LISTED,
        fixed={
            "type": "constant",
            "value": 7,
        },
    )
    found = mapped(space, {"width": 3})
    assert found.parameters is not None
    assert found.parameters["lr"] == pytest.approx(0.001, rel=0.05)
    assert {name: found.parameters[name] for name in ("n", "size", "act", "fixed")} == {
        "n": 15,
        "size": 32,
        "act": "a",
        "fixed": 7,
    }
    assert (found.unknown, found.missing) == (("width",), ("lr", "n", "size", "act"))
    listed = space_of(act={**LISTED, "probabilities": [1, 9]})
    assert default_of(listed, listed.parameters[0]) == "b"


def test_what_is_inactive_is_left_out_and_what_becomes_active_is_filled_in():
    space = Space.from_json(CONDITIONAL, constraints=FORBIDDEN)
    found = mapped(space, {"lr": 0.01, "layers": 2, "optimizer": "adam", "momentum": 0.7, "size": 64})
    assert found.parameters == {"lr": 0.01, "layers": 2, "optimizer": "adam"}
    found = mapped(space, {"lr": 0.01, "layers": 2, "optimizer": "sgd"})
    assert found.parameters is not None
    assert set(found.missing) >= {"momentum"}
    assert mapped(space, {"lr": 0.09, "layers": 2, "optimizer": "adam"}).problem == "a forbidden combination"
