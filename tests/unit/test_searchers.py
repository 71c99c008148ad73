"""Searchers: what each proposes, and that nothing is proposed twice."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from hpo_pipe.conformance import toy_study
from hpo_pipe.searchers import searcher_of
from hpo_pipe.searchers.grid import shuffled
from hpo_pipe.searchers.sobol import sobol_point
from hpo_pipe.searchers.tried import Tried, tried
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Entry, Facts, Issue, SettledSpec

LINE = (
    {"name": "x", "type": "float", "min": 0, "max": 1},
    {"name": "y", "type": "float", "min": 0, "max": 1},
)


def issue(trial, parameters, origin="someone"):
    return Issue(
        trial=trial,
        start=0,
        to=9,
        rung=2,
        bracket=0,
        parameters=parameters,
        origin=origin,
        checkpoint=None,
        reason="",
    )


class Search:
    """A searcher, and trials that are made of what it says."""

    def __init__(self, name, space, seed=1, **options):
        study = toy_study(searcher={"name": name, **options}, space=space, seed=seed)
        self.view = View.of(History(study))
        self.searcher = searcher_of(study, self.view.space)

    def suggest(self):
        return self.searcher.suggest(self.view, len(self.view.history.trials))

    def add(self, parameters, origin="someone"):
        self.view.history.fold_decision(issue(len(self.view.history.trials), parameters, origin))

    def run(self, count):
        found = []
        for _ in range(count):
            suggestion = self.suggest()
            if suggestion is None:
                break
            found.append(suggestion)
            self.add(suggestion.parameters, suggestion.origin)
        return found


@pytest.mark.parametrize("name", ["random", "sobol", "halton"])
def test_points_fill_the_square(name):
    points = np.array([list(s.parameters.values()) for s in Search(name, LINE).run(256)])
    assert points.shape == (256, 2)
    assert len(np.unique(points, axis=0)) == 256
    counts = np.histogram2d(points[:, 0], points[:, 1], bins=4, range=[[0, 1], [0, 1]])[0]
    if name == "sobol":
        assert (counts == 16).all()  # balanced for powers of two
        assert qmc.discrepancy(points) < 1e-4
    assert counts.min() >= 5


@pytest.mark.parametrize("name", ["random", "sobol", "halton"])
def test_the_seed_decides(name):
    runs = [[s.parameters for s in Search(name, LINE, seed=seed).run(5)] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_sobol_points_are_those_of_one_sequence():
    engine = qmc.Sobol(3, scramble=True, rng=np.random.Generator(np.random.PCG64(7)))
    whole = engine.random(1024)
    for number in (0, 1, 255, 256, 257, 1000):
        assert (sobol_point(number, 3, 7) == whole[number]).all()


@pytest.mark.parametrize("name", ["random", "sobol", "halton", "grid"])
def test_a_finite_space_is_searched_to_its_end(name):
    space = ({"name": "a", "type": "int", "min": 1, "max": 30}, {"name": "b", "type": "bool"})
    search = Search(name, space)
    found = search.run(100)
    assert len({(s.parameters["a"], s.parameters["b"]) for s in found}) == 60 == len(found)
    assert search.suggest() is None


@pytest.mark.parametrize("name", ["random", "sobol", "halton", "grid"])
def test_a_space_of_constants_has_one_trial(name):
    search = Search(name, ({"name": "a", "type": "constant", "value": 1},))
    assert [s.parameters for s in search.run(3)] == [{"a": 1}]


def test_what_was_tried_is_said_in_the_reason():
    search = Search("sobol", LINE)
    search.add(search.suggest().parameters)
    twin = Search("sobol", LINE)
    twin.add(replace(twin.suggest(), reason="").parameters)
    assert search.suggest() == twin.suggest()
    assert search.suggest().reason == "point 1 of a scrambled Sobol sequence"
    taken = search.suggest().parameters
    search.add({"x": 0.5, "y": 0.5})
    point_two = search.suggest().parameters
    again = Search("sobol", LINE)
    again.add(taken)
    again.add(point_two)
    assert (
        again.suggest().reason
        == "drawn at random, as point 2 of a scrambled Sobol sequence was tried already"
    )


def test_grid_in_order():
    space = (
        {"name": "lr", "type": "float", "min": 1e-4, "max": 1, "log": True},
        {"name": "drop", "type": "float", "min": 0, "max": 1, "grid_points": 3},
        {"name": "n", "type": "int", "min": 1, "max": 2},
    )
    found = [tuple(s.parameters.values()) for s in Search("grid", space).run(100)]
    lr = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert found == [(a, b, c) for a in lr for b in (0.0, 0.5, 1.0) for c in (1, 2)]


def test_grid_steps_around_what_users_enqueued():
    space = ({"name": "n", "type": "int", "min": 1, "max": 5},)
    search = Search("grid", space)
    search.add({"n": 2}, "enqueued")
    assert [s.parameters["n"] for s in search.run(9)] == [1, 3, 4, 5]


def test_shuffled_grid_is_the_same_grid():
    space = ({"name": "n", "type": "int", "min": 1, "max": 100},)
    plain = [s.parameters["n"] for s in Search("grid", space).run(200)]
    mixed = [s.parameters["n"] for s in Search("grid", space, shuffle=True).run(200)]
    assert sorted(mixed) == plain != mixed
    assert len(set(mixed[:20]) & set(range(1, 21))) < 15


@given(st.integers(1, 3000), st.integers(0, 2**62))
def test_shuffling_is_a_permutation(size, key):
    step = max(1, size // 300)
    images = [shuffled(i, size, key) for i in range(0, size, step)]
    assert len(set(images)) == len(images)
    assert all(0 <= image < size for image in images)


def test_shuffling_works_for_sizes_that_no_table_holds():
    assert 0 <= shuffled(12345, 10**30, 9) < 10**30
    assert math.isfinite(shuffled(10**30 - 1, 10**30, 9))


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), max_size=4)), max_size=6))
def test_the_index_of_what_was_tried_is_only_an_accelerator(rounds):
    """Through drafts that add trials and take them back, it says what a fresh index says."""
    search = Search("random", ({"name": "n", "type": "int", "min": 0, "max": 9},))
    history, space = search.view.history, search.view.space

    def check():
        fresh = Tried()
        fresh.follow(history.trials, space)
        known = tried(history, space)
        assert len(known) == len(fresh)
        assert known.of_origin("a") == fresh.of_origin("a")
        assert all(
            (space.identity({"n": n}) in known) == (space.identity({"n": n}) in fresh) for n in range(10)
        )

    for keep, drafted in rounds:
        with history.draft():
            for place, n in enumerate(drafted):
                history.fold_decision(issue(len(history.trials), {"n": n}, "a" if n % 2 else "b"))
                if place % 2:
                    check()
        for n in drafted[:keep]:
            search.add({"n": n}, "a")
        if keep % 2:
            check()
    check()


def test_a_suggestion_costs_the_same_however_long_the_study_is(monkeypatch):
    search = Search("random", LINE)
    for number in range(2000):
        search.add({"x": number / 2000, "y": 0.5})
    search.suggest()
    calls = []
    original = type(search.view.space).identity
    monkeypatch.setattr(
        type(search.view.space), "identity", lambda self, p: calls.append(1) or original(self, p)
    )
    search.add(search.suggest().parameters)
    search.suggest()
    assert len(calls) <= 3


def test_entries_of_facts_do_not_confuse_the_index():
    search = Search("grid", ({"name": "n", "type": "int", "min": 1, "max": 3},))
    history = search.view.history
    facts = Facts(now=0.0, demand=1)
    first = search.suggest()
    history.fold(
        Entry(
            entry=0,
            token="t",
            author="coordinator",
            facts=facts,
            decisions=(issue(0, first.parameters, "grid"),),
        )
    )
    spec = history.trials[0].last.id
    history.fold_facts(replace(facts, settled=(SettledSpec(spec=spec, link=2, outcome="fail"),)))
    assert search.suggest().parameters == {"n": 2}
