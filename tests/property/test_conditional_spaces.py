"""Laws of conditional parameters and forbidden combinations, one configuration or many at once."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo_pipe.conditions import Between
from hpo_pipe.conformance import toy_study
from hpo_pipe.searchers import searcher_of
from hpo_pipe.space import Space
from hpo_pipe.vectors import edges_of
from hpo_pipe.view import View
from storage_schema.errors import StudyFileError, UserError
from storage_schema.history import History
from storage_schema.records import Issue
from tests.property.random_spaces import all_meant, is_forbidden, meant, spaces

MANY = 2000


@st.composite
def spaces_with_points(draw):
    """A space and points, some of them on the edges where a condition begins to hold."""
    space, items, constraints = draw(spaces())
    rng = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32))))
    points = rng.random((24, len(space.dimensions)))
    columns = {p.name: column for column, p in enumerate(space.dimensions)}
    by_name = {p.name: p for p in space.parameters}
    for clause in (*space.conditions.values(), *space.forbidden):
        for test in clause.tests:
            for edge in edges_of(test, by_name[test.name]) if test.name in columns else ():
                for near in (edge, math.nextafter(edge, 0), math.nextafter(edge, 1)):
                    row = points[int(rng.integers(0, len(points)))]
                    row[columns[test.name]] = min(max(near, 0.0), 1.0)
    return space, items, constraints, points


@settings(max_examples=150, deadline=None)
@given(spaces_with_points())
def test_what_is_active_is_what_a_plain_reading_says(found):
    space, items, constraints, points = found
    active, allowed = space.activity(points), space.permitted(points)
    for point, mask, fits in zip(points, active, allowed, strict=True):
        free = dict(zip((p.name for p in space.dimensions), point, strict=True))
        values = {p.name: p.decode(free.get(p.name, 0.5)) for p in space.parameters}
        wanted = meant(items, values)
        assert space.decode(point) == wanted
        assert list(space.decode(point)) == [name for name in space.names if name in wanted]
        assert mask.tolist() == [p.name in wanted for p in space.dimensions]
        assert fits == space.allowed(wanted) == (not is_forbidden(constraints, wanted))
        if fits:
            assert space.check(wanted) == wanted == space.check(values)
        else:
            with pytest.raises(UserError, match="the combination is forbidden"):
                space.check(wanted)


@settings(max_examples=150, deadline=None)
@given(spaces_with_points(), st.booleans())
def test_snapping_is_decoding_and_encoding_row_by_row(found, blank):
    space, _, _, points = found
    if blank:
        points[~space.activity(points)] = np.nan
    snapped = space.snap(points)
    encoded = np.array([space.encode(space.decode(point)) for point in points]).reshape(points.shape)
    assert (np.isnan(snapped) == np.isnan(encoded)).all()
    assert snapped == pytest.approx(encoded, abs=1e-9, nan_ok=True)
    for point, row, again in zip(points, snapped, encoded, strict=True):
        configuration = space.decode(point)
        assert space.decode(again) == configuration
        assert space.decode(row) == configuration
    assert (space.permitted(snapped) == space.permitted(points)).all()


@given(spaces())
def test_a_space_comes_back_from_its_record(found):
    space, _, _ = found
    stored = json.loads(json.dumps([space.to_json(), space.constraints_json()], sort_keys=True))
    assert Space.from_json(stored[0], constraints=stored[1]) == space


@settings(deadline=None)
@given(spaces(countable=True))
def test_a_countable_space_numbers_each_allowed_configuration_once(found):
    space, items, constraints = found
    assert space.size is not None
    sizes = [p.size for p in space.parameters]
    assume(math.prod(sizes) <= MANY)
    listed = [[p.at(i) for i in range(p.size)] for p in space.parameters]
    numbered = [space.identity(space.configuration(i)) for i in range(space.size)]
    assert len(set(numbered)) == len(numbered)
    assert set(numbered) == all_meant(space, items, constraints, listed)


@settings(deadline=None)
@given(spaces())
def test_the_grid_has_each_allowed_combination_once(found):
    space, items, constraints = found
    listed = [p.grid() if p.size is None or p.size < 20 else None for p in space.parameters]
    assume(None not in listed and math.prod(map(len, listed)) <= MANY)
    grid = [space.identity(space.grid[i]) for i in range(space.grid.size)]
    assert len(set(grid)) == len(grid)
    assert set(grid) == all_meant(space, items, constraints, listed)


@settings(max_examples=30, deadline=None)
@given(spaces(countable=True), st.sampled_from(["random", "sobol", "halton", "grid"]))
def test_every_searcher_proposes_all_that_is_allowed_and_nothing_else(found, name):
    space, items, constraints = found
    assume(0 < space.size <= 60)
    study = toy_study(searcher={"name": name}, space=tuple(items), constraints=constraints)
    view = View.of(History(study))
    searcher = searcher_of(study, view.space)
    seen = set()
    while (suggestion := searcher.suggest(view, len(view.history.trials))) is not None:
        assert space.check(suggestion.parameters) == suggestion.parameters
        seen.add(space.identity(suggestion.parameters))
        assert len(seen) == len(view.history.trials) + 1
        view.history.fold_decision(a_trial(len(view.history.trials), suggestion))
    assert len(seen) == (space.grid.size if name == "grid" else space.size)


def a_trial(number, suggestion):
    return Issue(
        trial=number,
        start=0,
        to=9,
        rung=2,
        bracket=0,
        parameters=suggestion.parameters,
        origin=suggestion.origin,
        checkpoint=None,
        reason="",
    )


def test_a_space_where_nearly_everything_is_forbidden_is_still_searched():
    lines = [{"name": n, "type": "float", "min": 0, "max": 1} for n in ("x", "y")]
    forbidden = {"forbidden": [{"x": {"min": 0.02}}, {"y": {"max": 0.95}}]}
    study = toy_study(searcher={"name": "random"}, space=tuple(lines), constraints=forbidden)
    view = View.of(History(study))
    for number in range(30):
        suggestion = searcher_of(study, view.space).suggest(view, number)
        assert view.space.allowed(suggestion.parameters)
        view.history.fold_decision(a_trial(number, suggestion))
    assert len({view.space.identity(t.parameters) for t in view.history.trials}) == 30


def test_a_large_space_is_counted_without_walking_through_it():
    items = [
        {"name": "kind", "type": "categorical", "values": ["a", "b", "c"]},
        *(
            {"name": f"{kind}{i}", "type": "int", "min": 1, "max": 1000, "when": {"kind": kind}}
            for kind in "ab"
            for i in range(4)
        ),
    ]
    constraints = {"forbidden": [{"a0": {"min": 500}, "a1": {"min": 501}}]}
    space = Space.from_json(items, constraints=constraints)
    assert space.size == (1000**2 - 501 * 500) * 1000**2 + 1000**4 + 1
    assert space.configuration(space.size - 1) == {"kind": "c"}
    for index in (0, 1, 10**9, 10**12, space.size - 2):
        configuration = space.configuration(index)
        assert space.check(configuration) == configuration


def test_conditions_that_are_too_many_to_count_through_are_not_counted():
    flags = [{"name": f"p{i}", "type": "bool"} for i in range(20)]
    leaves = [{"name": f"q{i}", "type": "bool", "when": {f"p{i}": True}} for i in range(20)]
    space = Space.from_json([*flags, *leaves])
    assert space.size is None
    with pytest.raises(StudyFileError, match="the conditions of these parameters make too large a grid"):
        from hpo_pipe.study_file import read_study_mapping

        tables = {item.pop("name"): item for item in map(dict, [*flags, *leaves])}
        file = {"command": "a", "metric": {"name": "x"}, "parameters": tables, "algorithm": "grid"}
        read_study_mapping(file)


def test_a_missing_entry_is_not_taken_for_an_inactive_one():
    space = Space.from_json([{"name": "x", "type": "int", "min": 1, "max": 4}, {"name": "y", "type": "bool"}])
    for call in (space.decode, lambda point: space.snap(point[np.newaxis])):
        with pytest.raises(ValueError, match="NaN stands for an inactive parameter"):
            call(np.array([np.nan, 0.5]))
    assert np.isnan(space.encode({"y": True})).tolist() == [True, False]


@pytest.mark.parametrize("step", [{}, {"step": 0.01}])
@pytest.mark.parametrize(("low", "bound"), [(0.1, 0.34), (0.1, 0.42), (0.1, 0.3), (-1.0, 0.01), (-1.0, 0.6)])
def test_human_bounds_mean_what_they_say(low, bound, step):
    """0.34 is at least 0.34, though the unit interval of [0.1, 0.7] has only 0.33999999999999997."""
    space = Space.from_json(
        [
            {"name": "x", "type": "float", "min": low, "max": 0.7, **step},
            {"name": "y", "type": "bool", "when": {"x": {"min": bound}}},
            {"name": "z", "type": "bool", "when": {"x": {"max": bound}}},
        ]
    )
    given_ = {"x": bound, "y": True, "z": False}
    assert space.check(given_) == given_
    assert set(space.decode(space.encode(given_))) == {"x", "y", "z"}


def test_borders_of_uneven_cells_are_where_single_points_have_them():
    """numpy's exp and the C library's differ in a last bit here and there."""
    space = Space.from_json([{"name": "n", "type": "int", "min": 1, "max": 2000, "log": True}])
    (parameter,) = space.parameters
    edges = [edges_of(Between("n", n, None, n, math.inf), parameter)[0] for n in range(2, 2001)]
    points = np.array([[math.nextafter(e, 0), e, math.nextafter(e, 1)] for e in edges]).reshape(-1, 1)
    snapped = space.snap(points)
    assert [space.decode(row) for row in snapped] == [space.decode(point) for point in points]


def test_kinds_are_what_models_need():
    space = Space.from_json(
        [
            {"name": "a", "type": "float", "min": 0, "max": 1},
            {"name": "b", "type": "int", "min": 1, "max": 4},
            {"name": "c", "type": "bool"},
            {"name": "d", "type": "ordinal", "values": [1, 2, 3]},
            {"name": "e", "type": "constant", "value": 1},
        ]
    )
    assert [(k.name, k.kind, k.levels) for k in space.kinds] == [
        ("a", "number", 0),
        ("b", "number", 4),
        ("c", "category", 2),
        ("d", "ordered", 3),
    ]
