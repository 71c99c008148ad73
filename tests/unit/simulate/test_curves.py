"""The three worlds of curves: made up, recorded, the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import SPACES
from hpo_pipe.simulate.function import FunctionCurves
from hpo_pipe.simulate.recorded import Recorded, RecordedCurves, embedded
from hpo_pipe.simulate.sources import EXAMPLE, SOURCES, source
from hpo_pipe.simulate.synthetic import BEST, FAMILIES, Synthetic
from hpo_pipe.space import Space
from storage_schema.errors import UserError

LINE = Space.from_json([{"name": "x", "type": "float", "min": 0.0, "max": 1.0}])


def draws(space: Space, count: int) -> list[dict[str, object]]:
    rng = np.random.Generator(np.random.PCG64(5))
    found = (space.decode(rng.random(len(space.dimensions))) for _ in range(20 * count))
    return [parameters for parameters in found if space.allowed(parameters)][:count]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_synthetic_curve_depends_on_its_parameters_alone(family, name):
    space = Space.from_json(SPACES[name][0], constraints=SPACES[name][1])
    for parameters in draws(space, 40):
        there, here = (Synthetic(family, space, 27).curve(parameters, units) for units in (27, 9))
        count = min(9, len(there.values))
        assert np.array_equal(there.values[:count], here.values, equal_nan=True)
        assert np.allclose(there.seconds[:count], here.seconds[:count])
        assert (np.diff(there.seconds, prepend=0.0) > 0).all()
        assert not (there.values < BEST - 1e-12).any()
        maximised = Synthetic(family, space, 27, sign=-1.0).curve(parameters, 27)
        assert np.array_equal(maximised.values, -there.values, equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_configuration_of_a_landscape_reaches_the_best_loss(family):
    space = Space.from_json(SPACES["conditional"][0], constraints=SPACES["conditional"][1])
    world = Synthetic(family, space, 81)
    found = world.curve(space.decode(np.nan_to_num(world._best, nan=0.5)), 81)
    assert len(found.values) == 81
    assert found.values[-1] == pytest.approx(BEST, abs=0.1 if family == "noisy" else 1e-9)


def test_the_families_do_what_they_are_there_for():
    space = source("synthetic", "power_law", None).curves._space
    sample = draws(space, 300)

    def curves(family):
        return [Synthetic(family, space, 81).curve(p, 81).values for p in sample]

    def agreement(family, early):
        pairs = np.array([(c[early - 1], c[-1]) for c in curves(family)])
        return np.corrcoef(np.argsort(np.argsort(pairs, axis=0), axis=0).T)[0, 1]

    assert agreement("power_law", 9) > 0.5
    assert agreement("crossing", 3) < 0
    assert abs(agreement("useless_rung", 3)) < 0.2 and agreement("useless_rung", 27) > 0.5
    ended = curves("diverging")
    assert any(len(c) < 81 for c in ended) and any(np.isnan(c).any() for c in ended)
    assert sum(len(c) == 81 and not np.isnan(c).any() for c in ended) > 100


def line(x: float, *losses: float, crashed: bool = False, unit_s: float | None = 1.0) -> Recorded:
    points = tuple(enumerate(losses, start=1))
    return Recorded({"x": x}, points, len(losses), crashed, unit_s)


def test_what_was_recorded_is_answered_as_it_was_and_what_was_not_by_the_nearest():
    world = RecordedCurves(LINE, [line(0.1, 5, 4, 3, unit_s=2.0), line(0.9, 9, 8, 7)], 3, (1, 3), 1.0)
    assert world.curve({"x": 0.1}, 3).values.tolist() == [5, 4, 3]
    assert world.curve({"x": 0.1}, 3).seconds.tolist() == [2, 4, 6]
    assert world.curve({"x": 0.6}, 2).values.tolist() == [9, 8]
    assert any("1 of 2 configurations" in note for note in world.notes(3))


def test_a_trial_that_was_stopped_goes_on_as_its_nearest_neighbour_and_keeps_its_rank():
    trials = [line(0.1, 5, 4, 3), line(0.9, 9, 5, 1), line(0.2, 6), line(0.8, 10)]
    world = RecordedCurves(LINE, trials, 3, (1, 3), 1.0)
    # shifted, it would follow 0.1 down to 4: behind 0.1 and ahead of 0.9 at one epoch, it stays between them
    assert world.curve({"x": 0.2}, 3).values.tolist() == [6, 5, 3]
    assert world.curve({"x": 0.8}, 3).values.tolist() == [10, 6, 3]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nobody_overtakes_those_that_got_further(data):
    count = data.draw(st.integers(3, 10))
    values = st.floats(0, 10, allow_nan=False).map(lambda v: round(v, 3))
    lengths = [8, *(data.draw(st.sampled_from([1, 3, 8])) for _ in range(count - 1))]
    trials = [
        line(place / count, *(data.draw(values) for _ in range(length)))
        for place, length in enumerate(lengths)
    ]
    world = RecordedCurves(LINE, trials, 8, (1, 3, 8), 1.0)
    whole = np.array([world.curve(t.parameters, 8).values for t in trials])
    assert np.isfinite(whole).all()
    for row, length in zip(whole, lengths, strict=True):
        if length == 8:
            continue
        end = 3 if length == 1 and 3 in lengths else 8
        further = whole[[other >= end for other in lengths]]
        ahead = (further[:, length - 1] < row[length - 1]).sum()
        at_the_end = further[:, end - 1]
        assert (at_the_end < row[end - 1] - 1e-9).sum() <= ahead <= (at_the_end <= row[end - 1] + 1e-9).sum()


def test_a_crash_and_values_that_are_not_finite_stay_what_they_were():
    trials = [line(0.1, 5, np.inf, 3), line(0.5, 4, 3, 2), line(0.9, 9, crashed=True), line(0.3, np.inf)]
    world = RecordedCurves(LINE, trials, 3, (1, 3), 1.0)
    assert world.curve({"x": 0.1}, 3).values.tolist() == [5, np.inf, 3]
    assert world.curve({"x": 0.9}, 3).values.tolist() == [9]
    assert world.curve({"x": 0.3}, 3).values.tolist() == [np.inf] * 3


def test_a_record_of_next_to_nothing_is_refused():
    with pytest.raises(UserError, match="fewer than two trials"):
        RecordedCurves(LINE, [line(0.1, 5)], 3, (1, 3), 1.0)


def test_long_trainings_are_kept_on_a_coarser_grid():
    trials = [
        Recorded(
            {"x": x}, tuple((u, 1.0 + x + 100.0 / u) for u in range(100, 50_001, 100)), 50_000, False, 0.5
        )
        for x in (0.0, 1.0)
    ]
    world = RecordedCurves(LINE, trials, 50_000, (100, 50_000), 1.0)
    found = world.curve({"x": 0.0}, 50_000).values
    assert found[[99, 9_999, 49_999]] == pytest.approx([2.0, 1.01, 1.002], rel=1e-3)


def test_categories_are_equal_or_not_and_inactive_is_a_place_of_its_own():
    space = Space.from_json(
        [
            {"name": "c", "type": "categorical", "values": ["a", "b", "z"]},
            {"name": "x", "type": "float", "min": 0, "max": 1, "when": {"c": "a"}},
        ]
    )
    rows = [{"c": "a", "x": 0.5}, {"c": "b"}, {"c": "z"}, {"c": "a", "x": 1.0}]
    places = embedded(space, np.array([space.encode(row) for row in rows]))
    apart = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    assert apart[1, 2] == pytest.approx(1.0)  # two categories
    assert apart[0, 3] == pytest.approx(0.5)
    assert apart[0, 1] == pytest.approx(np.sqrt(1 + 0.875))


BENCH = """
import math
def curve(parameters, units):
    if parameters["x"] > 0.9:
        return [1.0], 2.0                      # crashes after one unit
    return [parameters["x"] + 1 / u for u in range(1, units + 1)], 2.0
class Whole:
    space = {"x": {"type": "float", "min": 0, "max": 1}}
    units = 27
    best = 1 / 27
    def curve(self, parameters, units):
        return curve(parameters, units)
whole = Whole()
def broken(parameters, units): raise ValueError("no data")
def shapeless(parameters, units): return [1.0, 2.0], [2.0, 1.0]
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    module = f"bench_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(BENCH)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return module


def test_a_function_of_the_users(bench):
    world = FunctionCurves(f"{bench}:curve", Path.cwd())
    assert world.curve({"x": 0.5}, 2).values.tolist() == [1.5, 1.0]
    assert world.curve({"x": 0.5}, 2).seconds.tolist() == [2.0, 4.0]
    assert len(world.curve({"x": 0.95}, 5).values) == 1
    found = source("function", f"{bench}:whole", None)
    assert found.study.resource.max == 27 and found.curves.best == 1 / 27


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "has no attribute|cannot import"),
        ("broken", "ValueError: no data"),
        ("shapeless", "seconds that rise"),
        ("math.pi", "neither a function"),
    ],
)
def test_what_is_no_curve_is_refused_by_name(bench, name, message):
    with pytest.raises(UserError, match=message):
        FunctionCurves(f"{bench}:{name}", Path.cwd()).curve({"x": 0.5}, 2)


def test_sources_are_named():
    assert set(SOURCES) == {"synthetic", "recorded", "function"}
    with pytest.raises(UserError, match="did you mean 'synthetic'"):
        source("sinthetic", "noisy", None)
    with pytest.raises(UserError, match="did you mean 'noisy'"):
        source("synthetic", "noissy", None)
    assert set(source("synthetic", "noisy", None).study.parameter_names) == set(EXAMPLE)
