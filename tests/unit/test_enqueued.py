"""What users enqueue: kept as far as it can be, completed, and never a reason for a tick to fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import CONDITIONAL, FORBIDDEN, toy_study
from hpo_pipe.enqueued import checked_wish, whole
from hpo_pipe.space import Space
from hpo_pipe.view import View
from storage_schema.errors import UserError
from storage_schema.history import History
from storage_schema.records import Enqueue, Limits
from tests.property.random_spaces import NAMES, spaces
from tests.unit.test_decide import Coordinator

SPACE = Space.from_json(CONDITIONAL, constraints=FORBIDDEN)
FIRST = {"lr": 0.07, "layers": 6, "optimizer": "sgd", "momentum": 0.6, "size": 16}
ADAM = {"lr": 0.01, "layers": 1, "optimizer": "adam"}


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def completed(given_, first=None):
    return whole(SPACE, given_, rng(), lambda: first)


def test_what_is_missing_comes_from_the_searcher():
    found, said = completed({"layers": 4}, FIRST)
    assert found == FIRST | {"layers": 4}
    assert said == "enqueued by a user; the searcher chose lr, optimizer, momentum, size"


def test_a_whole_configuration_asks_no_searcher():
    def searcher():
        raise AssertionError("asked")

    assert whole(SPACE, ADAM, rng(), searcher) == (ADAM, "enqueued by a user")


def test_parents_are_chosen_so_that_what_was_given_is_active():
    found, _ = completed({"nesterov": True}, ADAM)
    assert found["nesterov"] is True and found["optimizer"] == "sgd" and found["momentum"] >= 0.8
    assert (found["lr"], found["layers"]) == (0.01, 1)  # what need not change stays the searcher's


def test_what_is_inactive_beside_the_rest_is_left_out():
    found, said = completed({"optimizer": "adam", "momentum": 0.9}, ADAM)
    assert found == ADAM
    assert said.endswith("left out: momentum, which is inactive beside the others")
    assert checked_wish(SPACE, {"optimizer": "adam", "momentum": 0.9}) == {"optimizer": "adam"}


def test_what_the_searcher_proposes_yields_where_the_whole_would_be_forbidden():
    found, said = completed({"optimizer": "adam"}, FIRST)
    assert SPACE.allowed(found) and found["lr"] < 0.05 and found["layers"] == 6
    assert "left out" not in said


def test_a_forbidden_wish_is_refused_when_it_is_made_and_mended_when_it_is_not():
    wish = {"optimizer": "adam", "lr": 0.06}
    with pytest.raises(UserError, match=r"the combination is forbidden: lr >= 0\.05 and optimizer = 'adam'"):
        checked_wish(SPACE, wish)
    found, said = completed(wish, ADAM)
    assert SPACE.allowed(found) and found["optimizer"] == "adam"
    assert "left out: lr, which is forbidden or impossible beside the others" in said


def test_wishes_that_no_configuration_has_are_refused():
    flags = [{"name": "a", "type": "bool"}]
    flags += [{"name": n, "type": "bool", "when": {"a": v}} for n, v in (("b", True), ("c", False))]
    space = Space.from_json(flags)
    with pytest.raises(UserError, match="no allowed configuration has b, c together"):
        checked_wish(space, {"b": True, "c": True})
    found, said = whole(space, {"b": True, "c": True}, rng(), lambda: {"a": False, "c": False})
    assert found == {"a": True, "b": True} and "left out: c" in said


def test_parents_many_levels_up_are_found():
    chain = [{"name": "p0", "type": "int", "min": 1, "max": 1000}]
    chain += [
        {"name": f"p{i}", "type": "int", "min": 1, "max": 1000, "when": {f"p{i - 1}": 7 * i}}
        for i in range(1, 9)
    ]
    space = Space.from_json(chain)
    assert checked_wish(space, {"p8": 3}) == {"p8": 3}
    found, _ = whole(space, {"p8": 3}, rng(), lambda: {"p0": 1})
    assert found == {f"p{i}": 7 * (i + 1) for i in range(8)} | {"p8": 3}


def test_a_constant_that_may_stay_inactive_forbids_nothing():
    space = Space.from_json(
        [
            {"name": "a", "type": "int", "min": 1, "max": 2},
            {"name": "c", "type": "constant", "value": 3, "when": {"a": 1}},
        ],
        constraints={"forbidden": [{"c": 3}]},
    )
    assert space.check({}, partial=True) == {}
    assert whole(space, {}, rng(), lambda: None)[0] == {"a": 2}
    with pytest.raises(UserError, match="forbidden: c = 3"):
        space.check({"a": 1}, partial=True)


@settings(max_examples=100, deadline=None)
@given(spaces(), st.integers(0, 2**32), st.data())
def test_any_part_of_an_allowed_configuration_stays(found, seed, data):
    space, _, _ = found
    points = rng(seed).random((50, len(space.dimensions)))
    points = points[space.permitted(points)]
    assume(len(points))
    allowed = space.decode(points[0])
    given_ = {name: allowed[name] for name in allowed if data.draw(st.booleans())}
    parameters, said = whole(space, given_, rng(1), lambda: space.decode(points[-1]))
    assert space.check(parameters) == parameters
    if space.size is None or not space.forbidden:  # else the draws may miss the few that are allowed
        assert given_.items() <= parameters.items() or "left out" in said
    if not space.forbidden:
        assert given_.items() <= parameters.items()


JUNK = st.one_of(st.none(), st.booleans(), st.integers(-3, 20), st.floats(0, 1), st.sampled_from(["x", "zz"]))


@settings(max_examples=100, deadline=None)
@given(spaces(), st.dictionaries(st.sampled_from([*NAMES, "unknown"]), JUNK, max_size=4))
def test_nothing_that_is_enqueued_is_too_strange(found, wish):
    space, _, _ = found
    rows = rng(3).random((4096, len(space.dimensions)))
    assume(space.permitted(rows).mean() > 0.05)
    parameters, said = whole(space, wish, rng(), lambda: None)
    assert space.check(parameters) == parameters
    assert all(name in parameters or name in said for name in wish)


def test_a_tick_completes_what_a_log_holds():
    study = toy_study(
        scheduler={"name": "none"}, space=CONDITIONAL, constraints=FORBIDDEN, limits=Limits(trials=10)
    )
    coordinator = Coordinator(study)
    wishes = (
        {"nesterov": False},
        {"optimizer": "adam", "lr": 0.09},
        {"momentum": 2},
        {"size": 64, "layers": 6},
    )
    coordinator.user(*(Enqueue(parameters=wish, reason="a user's") for wish in wishes))
    issues = coordinator.tick(demand=4)
    space = View.of(History(study)).space
    assert [i.origin for i in issues] == ["enqueued"] * 4
    assert all(space.check(i.parameters) == i.parameters for i in issues)
    assert issues[0].parameters["optimizer"] == "sgd" and issues[0].parameters["nesterov"] is False
    assert (
        "left out: optimizer, which is forbidden" in issues[1].reason
    )  # the last one, as records sort names
