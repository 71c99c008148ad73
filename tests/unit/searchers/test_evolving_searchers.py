"""cma_es, evolution, differential_evolution, priorband: populations that are read from results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.following import following
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import furthest
from hpo_pipe.searchers import priorband
from hpo_pipe.searchers.candidates import dimensions_of
from hpo_pipe.searchers.cma_es import Generations
from hpo_pipe.searchers.differential_evolution import challenger, population
from hpo_pipe.searchers.evolution import tournament
from storage_schema.records import Limits, StopTrial
from tests.unit.searchers.worlds import SQUARE, Search, best_of, fold, uniform


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def distance(p):
    return (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2


# -- CMA-ES


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_generations_that_follow_are_those_read_from_nothing(seed, workers):
    """Whatever order results arrive in, and inside drafts: the distribution is a function of the history."""
    study = toy_study(searcher={"name": "cma_es", "population": 4}, limits=Limits(trials=60))
    objective = lambda p, r: None if p["layers"] == 5 else p["lr"] / r  # noqa: E731
    for count, moment in enumerate(simulated(study, objective, seed=seed, workers=workers)):
        view = moment.view
        if count % 3:
            continue
        dimensions = dimensions_of(view.space)
        number = len(view.history.trials)
        found, done = following(view, Generations).distribution(view, number, 4, dimensions)
        afresh = Generations(view)
        afresh.follow(view, range(number))
        exact, done_too = afresh.distribution(view, number, 4, dimensions)
        assert done == done_too
        for name in ("mean", "step", "covariance", "path", "step_path"):
            assert np.array_equal(getattr(found, name), getattr(exact, name)), name


def test_a_generation_waits_for_all_its_members_but_not_for_stopped_ones():
    search = Search("cma_es", population=4)

    def done():
        number = len(search.history.trials)
        view = search.view
        return following(view, Generations).distribution(view, number, 4, dimensions_of(view.space))[1]

    for parameters in uniform(0, 3):
        search.add(parameters, distance(parameters))
    last = search.add({"x": 0.5, "y": 0.5})
    assert done() == 0
    fold(search.history, decisions=[StopTrial(trial=last, reason="a user's")])
    assert done() == 1
    assert "after 1 generations of 4" in search.suggest().reason


@pytest.mark.parametrize("name", ["cma_es", "evolution", "differential_evolution"])
def test_they_beat_random_search(name):
    options = {"evolution": {"population": 20, "sample": 6}, "differential_evolution": {"population": 10}}

    def mean(searcher):
        found = [
            best_of(searcher, lambda p, r: distance(p), trials=120, space=SQUARE, seed=s)[0] for s in range(4)
        ]
        return float(np.mean(np.log(found)))

    assert mean({"name": name, **options.get(name, {})}) < mean({"name": "random"}) - 0.7


# -- regularised evolution


def test_the_old_die_however_good_and_the_best_of_a_sample_wins():
    search = Search("evolution", population=5, sample=5)
    for i, parameters in enumerate(uniform(0, 12)):
        search.add(parameters, 0.0 if i == 0 else 1.0 + (i * 7 % 12))
    data = furthest(snapshot(search.view, 12))
    winners = {int(data.trials[tournament(data, 5, 5, rng(s))]) for s in range(20)}
    losses = {i: 1.0 + (i * 7 % 12) for i in range(7, 12)}
    assert winners == {min(losses, key=losses.get)}
    some = {int(data.trials[tournament(data, 5, 2, rng(s))]) for s in range(200)}
    assert some < set(range(7, 12)) and len(some) == 4  # the worst of five never wins against another


def test_a_child_differs_in_one_place():
    search = Search("evolution", population=4, sample=4)
    for i, parameters in enumerate(uniform(0, 4)):
        search.add(parameters, float(i))
    parent = search.history.trials[0].parameters
    for number in range(10, 30):
        suggestion = search.suggest(number)
        assert "mutation of trial 0, the best of 4 among the newest 4" in suggestion.reason
        assert sum(suggestion.parameters[name] == parent[name] for name in ("x", "y")) == 1


# -- differential evolution


def test_a_place_is_held_by_the_best_that_challenged_it():
    """Not so in DEHB: populations hold trials by number and rungs by place, and fitness stays a number."""
    search = Search("differential_evolution", population=4)
    losses = [0.5, 0.4, 0.9, 0.2, 0.5, 0.6, math.nan, 0.1]
    for parameters, loss in zip(uniform(0, 8), losses, strict=True):
        search.add(parameters, loss)
    # trial 4 ties with 0 and takes its place: no worse is enough; 6 failed
    assert population(snapshot(search.view, 8), 0, 4) == {0: 4, 1: 1, 2: 2, 3: 7}
    assert population(snapshot(search.view, 8), 1, 4) == {}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 2), st.floats(0, 1))
def test_a_challenger_has_genes_of_the_mutant_and_the_parent(seed, factor, crossover):
    parent, a, b, c = rng(seed).random((4, 6))
    a[0] = np.nan
    found = challenger(parent, a, b, c, rng(seed + 1), factor, crossover)
    assert ((found >= 0) & (found <= 1)).all()
    mutant = a + factor * (b - c)
    inside = (mutant >= 0) & (mutant <= 1)
    own, new = found == parent, found != parent
    assert new.any()
    assert np.array_equal(found[new & inside], mutant[new & inside])
    if crossover == 1:
        assert not own.any()


def test_a_higher_rung_is_challenged_by_the_best_of_the_one_below():
    from dataclasses import replace

    search = Search("differential_evolution", population=9)
    for i, parameters in enumerate(uniform(0, 12)):
        search.add(parameters, float(i), rung=1)
    view = replace(search.view, rung=1)
    suggestion = search.searcher.suggest(view, 20)
    assert suggestion.reason == "challenges trial 0 for place 1 of 4 at epoch 3"


# -- PriorBand

BELIEVED = (
    {"name": "x", "type": "float", "min": 0, "max": 1, "prior": {"value": 0.2, "confidence": "high"}},
    {"name": "y", "type": "float", "min": 0, "max": 1, "prior": {"value": 0.8, "confidence": "high"}},
)


def shares(search, rung=0):
    return priorband.shares(search.view, snapshot(search.view, len(search.history.trials)), rung)


def test_the_higher_the_rung_the_less_is_random():
    search = Search("priorband", space=BELIEVED)
    assert shares(search) == (0.5, 0.5, 0.0)
    assert shares(search, 1) == pytest.approx((0.25, 0.75, 0.0))
    assert shares(search, 2) == pytest.approx((0.1, 0.9, 0.0))


def test_the_incumbent_takes_part_once_there_is_something_to_compare():
    """NePS has a numpy bool that is compared by identity, a cost by the rung's number, == for >= eta."""
    search = Search("priorband", space=BELIEVED)
    for parameters in uniform(0, 8):
        search.add(parameters, distance(parameters))
    assert shares(search)[2] == 0.0  # nothing has finished
    search.add({"x": 0.3, "y": 0.6}, 0.0, rung=2)
    assert shares(search)[2] == 0.0  # 17 of the 27 epochs of a bracket of successive halving are spent
    search.add({"x": 0.31, "y": 0.6}, 0.01, rung=2)
    search.add({"x": 0.32, "y": 0.6}, 0.02, rung=2)
    random, prior, incumbent = shares(search)
    assert random == 0.5 and prior + incumbent == pytest.approx(0.5) and incumbent > 0.05
    search.add({"x": 0.9, "y": 0.1}, 0.5, rung=2)  # one more than eta at the top
    assert shares(search)[2] > 0.05


def test_a_prior_that_is_right_keeps_its_share_and_a_wrong_one_loses_it():
    def incumbent(x, y):
        search = Search("priorband", space=BELIEVED)
        for parameters in uniform(0, 20):
            loss = (parameters["x"] - x) ** 2 + (parameters["y"] - y) ** 2
            search.add(parameters, loss, rung=2)
        return shares(search)[2]

    assert incumbent(0.2, 0.8) < 0.3 < 0.45 < incumbent(0.95, 0.05)


def test_draws_come_from_where_they_say():
    search = Search("priorband", space=BELIEVED)
    for parameters in uniform(0, 30):
        loss = (parameters["x"] - 0.95) ** 2 + (parameters["y"] - 0.05) ** 2
        search.add(parameters, loss, rung=2)
    found = [search.suggest(n) for n in range(100, 400)]
    mutated = [s.parameters for s in found if s.reason.startswith("mutation of trial")]
    drawn = [s.parameters for s in found if s.reason.startswith("drawn at random")]
    assert 0.35 < len(mutated) / 300 < 0.6 and 0.35 < len(drawn) / 300 < 0.65
    best = min(search.history.rungs[2].ranking)[1]
    row = search.history.trials[best].parameters
    kept = [p["x"] == row["x"] for p in mutated]
    assert 0.2 < np.mean(kept) < 0.47  # one of two changes, or both do
    assert all(p != row for p in mutated)
    assert abs(np.mean([p["x"] for p in drawn]) - 0.5) < 0.1


def test_the_prior_speaks_before_there_are_results():
    search = Search("priorband", space=BELIEVED)
    found = [search.suggest(n) for n in range(300)]
    believed = [s.parameters for s in found if "through the priors" in s.reason]
    assert 0.4 < len(believed) / 300 < 0.6
    assert abs(np.mean([p["x"] for p in believed]) - 0.28) < 0.06
