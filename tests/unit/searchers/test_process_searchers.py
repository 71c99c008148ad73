"""gp, freeze_thaw, hyper_tune, forest: which results count, pending trials, failures, dead-locks, purity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models import processes, weights
from hpo_pipe.rung_models.evidence import MAX_PENDING, open_rows
from hpo_pipe.searchers import forest, freeze_thaw
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Limits
from tests.unit.searchers.worlds import SQUARE, Search, best_of, uniform

MODELS = ("gp", "freeze_thaw", "hyper_tune", "forest")


def distance(p):
    return (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2


def told(search, n, rung=0, seed=0, loss=distance):
    for parameters in uniform(seed, n):
        search.add(parameters, loss(parameters), rung)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_trials_are_spread_and_then_the_model_decides(name):
    search = Search(name, initial=6, random_share=0.0)
    for n in range(6):
        suggestion = search.suggest()
        assert suggestion.reason == f"one of the first 6: point {n} of a scrambled Sobol sequence"
        search.add(suggestion.parameters, distance(suggestion.parameters))
    assert "expected improvement" in search.suggest().reason


@pytest.mark.parametrize("name", MODELS)
def test_without_results_the_start_goes_on(name):
    search = Search(name, initial=4, random_share=0.0)
    for n in range(12):
        suggestion = search.suggest()
        assert f"point {n} of a scrambled Sobol sequence" in suggestion.reason
        search.add(suggestion.parameters)


@pytest.mark.parametrize(("name", "enough"), [("gp", 6), ("forest", 4)])  # of 2 parameters: 2 (2 + 1)
def test_the_highest_rung_with_enough_values_decides(name, enough):
    search = Search(name, initial=1, random_share=0.0)
    told(search, enough - 1)
    assert "too few results" in search.suggest().reason
    told(search, 7, seed=3)
    assert "results at epoch 1" in search.suggest().reason
    told(search, enough - 1, rung=1, seed=1)
    assert "results at epoch 1" in search.suggest().reason
    told(search, 1, rung=2, seed=2)
    assert f"over {enough} results at epoch 3" in search.suggest().reason


@pytest.mark.parametrize("name", MODELS)
def test_the_best_place_is_found(name):
    search = Search(name, initial=1, random_share=0.0)
    told(search, 40)
    near = []
    for _ in range(8):
        parameters = search.suggest().parameters
        near.append(max(abs(parameters["x"] - 0.3), abs(parameters["y"] - 0.6)))
        search.add(parameters, distance(parameters))
    assert np.median(near) < (0.25 if name == "forest" else 0.1)


@pytest.mark.parametrize("name", ["gp", "freeze_thaw", "hyper_tune"])
def test_workers_that_ask_together_are_sent_apart(name):
    """P5 at work: each pending trial lowers what is expected of its neighbourhood."""
    search = Search(name, initial=1, random_share=0.0)
    told(search, 20, loss=lambda p: p["x"] + 0.1 * math.sin(20 * p["y"]))
    for _ in range(10):
        search.add(search.suggest().parameters)
    rows = snapshot(search.view, 30).unit[20:]
    gaps = [np.sort(np.abs(rows - row).max(axis=1))[1] for row in rows]
    assert np.median(gaps) > 0.02


@pytest.mark.parametrize("name", MODELS)
def test_where_trials_fail_is_kept_away_from(name):
    search = Search(name, initial=1, random_share=0.0)
    for parameters in uniform(0, 40):
        if parameters["x"] > 0.5:
            search.fail(parameters)
        else:
            search.add(parameters, 1.0 - 0.5 * parameters["x"])  # the best ones lie at the border
    found = [search.suggest(n).parameters["x"] for n in range(100, 116)]
    assert np.mean(np.array(found) < 0.6) > 0.6


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("loss", [lambda p: 0.5, lambda p: math.nan, lambda p: 1e300 * p["x"]])
def test_losses_that_say_nothing_are_survived(name, loss):
    search = Search(name, initial=1, random_share=0.0)
    told(search, 12, loss=loss)
    assert len({search.suggest(n).parameters["x"] for n in range(20, 26)}) == 6


@pytest.mark.parametrize("scheduler", [{"name": "asha"}, {"name": "asha", "eta": 2}])
def test_f4_no_dead_lock_in_a_world_of_constant_curves(scheduler):
    """What decides by a model of curves who trains next, as DyHPO does, may start new ones for ever."""
    study = toy_study(
        scheduler=scheduler,
        searcher={"name": "freeze_thaw"},
        space=SQUARE,
        top=27,
        eta=scheduler.get("eta", 3),
        limits=Limits(trials=20 * 27),
    )
    decisions = 0
    for moment in simulated(study, lambda p, r: 0.5):
        decisions += len(moment.entry.decisions)
        if len(moment.view.history.rungs[-1]):
            break
    assert len(moment.view.history.rungs[-1]) and decisions <= 20 * 27


def objective(parameters, resource):
    return {0: math.nan, 1: None}.get(parameters["layers"] % 7, parameters["lr"] / resource)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_what_was_known_at_a_trial_is_found_again(seed):
    """Fits look back: what they saw when a trial was created must be what they see later, and after a restart."""
    study = toy_study(limits=Limits(trials=25), searcher={"name": "random"})
    seen = {}
    for moment in simulated(study, objective, seed=seed):
        view = moment.view
        with view.history.draft():
            view.history.fold_facts(moment.facts)
            for decision in moment.entry.decisions:
                seen[len(view.history.trials)] = snapshot(view, len(view.history.trials))
                view.history.fold_decision(decision)
    cold = View.of(History(study))
    for entry in [*moment.log]:
        cold.history.fold(entry)
    for number, before in seen.items():
        if number >= len(cold.history.trials):
            continue
        for view in (moment.view, cold):
            after = snapshot(view, number)
            for name in ("unit", "rungs", "curves", "failed"):
                assert np.array_equal(getattr(before, name), getattr(after, name), equal_nan=name != "failed")


@pytest.mark.parametrize("name", MODELS)
def test_a_coordinator_that_starts_in_the_middle_decides_the_same(name):
    study = toy_study(searcher={"name": name, "initial": 4}, limits=Limits(trials=40))
    for count, moment in enumerate(simulated(study)):
        if count % 9 == 8:
            warm = moment.entry.decisions
            for kept in (processes._FITS, processes._MODELS, freeze_thaw._FITS, freeze_thaw._MODELS):
                kept._kept.clear()
            weights._WEIGHTS._kept.clear()
            forest._FORESTS._kept.clear()
            from hpo_pipe.decide import decide

            assert decide(View.of(moment.history()), moment.facts) == warm


def test_hyper_parameters_wait_for_their_time(monkeypatch):
    fits = []
    monkeypatch.setattr(
        processes, "fit", lambda *a, **k: fits.append(1) or freeze_thaw.Hyperparameters((0.5, 0.5), 1.0, 0.01)
    )
    search = Search("gp", initial=1, random_share=0.0)
    processes._FITS._kept.clear()
    told(search, 140)
    for _ in range(16):
        parameters = search.suggest().parameters
        search.add(parameters, distance(parameters))
    assert len(fits) == len({last_refit(n) for n in range(140, 156)}) == 3


def test_only_the_newest_pending_trials_count():
    search = Search("gp")
    for parameters in uniform(0, MAX_PENDING + 20):
        search.add(parameters)
    rows = open_rows(search.view, MAX_PENDING + 20, np.array([5, MAX_PENDING + 19]))
    assert len(rows) == MAX_PENDING
    assert rows[-1].tolist() == list(search.history.trials[MAX_PENDING + 18].parameters.values())


def test_the_ensemble_leaves_out_a_rung_that_misleads():
    search = Search("hyper_tune", initial=1, random_share=0.0)
    for i, parameters in enumerate(uniform(0, 40)):
        trial = search.add(parameters, -distance(parameters), rung=0)
        if i % 2:
            promote(search, trial, parameters, distance(parameters))
    assert "(epoch 3 100%)" in search.suggest().reason
    agreeing = Search("hyper_tune", initial=1, random_share=0.0)
    for i, parameters in enumerate(uniform(0, 40)):
        trial = agreeing.add(parameters, distance(parameters), rung=0)
        if i % 2:
            promote(agreeing, trial, parameters, distance(parameters))
    # the first rung's model has seen the judged ones at their first rung: it tells more than one that was held back
    assert "(epoch 1 " in agreeing.suggest().reason


def promote(search, trial, parameters, loss):
    from storage_schema.records import Facts
    from tests.unit.searchers.worlds import fold, issue, settled

    fold(search.history, decisions=[issue(trial, parameters, 3, 1, search.name)])
    (spec,) = (i for i, s in search.history.open.items() if s.issue.trial == trial)
    fold(search.history, Facts(now=0.0, demand=0, settled=(settled(spec, loss, 3),)))


@pytest.mark.parametrize("name", MODELS)
def test_they_beat_random_search(name):
    space = (*SQUARE, {"name": "c", "type": "categorical", "values": ["a", "b", "c"]})

    def loss(p, r):
        return distance(p) + {"a": 0.3, "b": 0.0, "c": 0.1}[p["c"]] + 0.5 / r

    def mean(searcher):
        return np.mean(
            [
                best_of(searcher, loss, trials=45, space=space, seed=s, scheduler={"name": "asha"})[0]
                for s in range(3)
            ]
        )

    floor = 0.5 / 9
    assert mean({"name": name}) - floor < 0.5 * (mean({"name": "random"}) - floor)
