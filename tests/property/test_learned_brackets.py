"""Hyper-Tune's choice of the rung that a new trial starts at: by what each rung's ranking is worth and costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.options import Refused
from hpo_pipe.rung_models import processes, weights
from hpo_pipe.rung_models.weights import rung_weights
from hpo_pipe.rungs import bracket_shares
from hpo_pipe.schedulers import d_asha
from hpo_pipe.schedulers.asha import drawn_bracket, drawn_of
from hpo_pipe.schedulers.d_asha import DelayedAshaScheduler, learned_shares
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Limits
from tests.unit.searchers.worlds import Search

BRACKETS = 3
LEVELS = (1, 3, 9, 27)
HYPERBAND = bracket_shares(LEVELS, BRACKETS)


def quality(parameters) -> float:
    return abs(math.log10(parameters["lr"]) + 2.0) + 0.1 * abs(parameters["layers"] - 3)


def agreeing(parameters, resource):
    return quality(parameters) + 1.0 / resource


def misled(parameters, resource):
    """The first rung ranks the wrong way round."""
    return -quality(parameters) if resource == 1 else agreeing(parameters, resource)


def study(trials=120, seed=1, learn=True, **others):
    scheduler = {"name": "d_asha", "brackets": BRACKETS, "learn_brackets": learn}
    return toy_study(
        scheduler=scheduler,
        searcher={"name": "random"},
        top=LEVELS[-1],
        limits=Limits(trials=trials),
        seed=seed,
        **others,
    )


def ended(the_study, objective) -> View:
    for moment in simulated(the_study, objective):
        view = moment.view
        last = moment.entry
    assert view.history.head == last.entry
    return view


def started_at(view, rung, since=40) -> float:
    """Return the share of the trials from `since` on that started at a rung."""
    late = view.history.trials[since:]
    return sum(trial.bracket == rung for trial in late) / len(late)


def test_rungs_that_agree_are_started_at_by_what_they_cost():
    """More at the first than Hyperband would: 1 / resource, and no longer sums of resource. In the median: the weights
    of fifty draws over the few that came far are rough."""
    views = [ended(study(seed=seed), agreeing) for seed in range(5)]
    for view in views:
        shares, _ = learned_shares(view, BRACKETS)
        found = rung_weights(view, len(view.history.trials))
        worth = np.array(found.weights[:BRACKETS]) / LEVELS[:BRACKETS]
        assert found.rungs == (0, 1, 2, 3) and shares == pytest.approx(worth / worth.sum())
    assert np.median([started_at(view, 0) for view in views]) > 0.65 > HYPERBAND[0]


@pytest.mark.parametrize("seed", range(3))
def test_a_first_rung_that_misleads_is_hardly_started_at(seed):
    assert started_at(ended(study(seed=seed), misled), 0) <= 0.05
    assert started_at(ended(study(seed=seed, learn=False), misled), 0) > 0.5  # as Hyperband would


def test_without_evidence_the_proportions_are_hyperbands():
    """No results, too few, or of the first rung alone; and where every training fails."""
    assert learned_shares(View.of(History(study())), BRACKETS)[0] == HYPERBAND
    view = ended(study(trials=12), lambda parameters, resource: None)
    assert learned_shares(view, BRACKETS)[0] == HYPERBAND
    seen = 0
    for moment in simulated(study(trials=40), agreeing):
        view = moment.view
        found = rung_weights(view, len(view.history.trials))
        if found is None or len(found.rungs) == 1:
            seen += found is not None
            shares, why = learned_shares(view, BRACKETS)
            assert shares == HYPERBAND and "as in Hyperband" in why
            assert drawn_of(view, shares) == drawn_bracket(view, BRACKETS)
    assert seen


def test_a_space_without_free_parameters_has_nothing_to_model():
    constant = ({"name": "lr", "type": "constant", "value": 0.01},)
    search = Search("random", space=constant, top=LEVELS[-1])
    for number in range(8):  # as who enqueues may try the same again
        search.add({"lr": 0.01}, 0.5 + number, rung=number % 4)
    assert learned_shares(search.view, BRACKETS)[0] == HYPERBAND


def test_weights_are_shares_and_the_reason_names_them():
    for moment in simulated(study(), misled):
        view = moment.view
    shares, why = learned_shares(view, BRACKETS)
    found = rung_weights(view, len(view.history.trials))
    assert sum(shares) == pytest.approx(1.0) and min(shares) >= 0.0
    assert sum(found.weights) == pytest.approx(1.0, abs=1e-5) and min(found.weights) >= 0.0
    assert found.weights[0] == 0.0 and 0 not in found.counting.rungs
    assert "by what their first rungs are worth and cost (weights of rungs: epoch 1 0%, epoch 3 " in why
    assert "(weights of rungs: epoch 1 0%, epoch 3 " in view.history.trials[-1].specs[0].issue.reason


def test_what_is_kept_changes_no_decision():
    """Decided again after everything was forgotten, by who has only read the log."""
    compared = 0
    for moment in simulated(study(trials=60), misled):
        if moment.entry.entry % 9 == 0:
            for kept in (processes._FITS, processes._MODELS, weights._WEIGHTS):
                kept._kept.clear()
            assert decide(View.of(moment.history()), moment.facts) == moment.entry.decisions
            compared += 1
    assert compared > 3


def test_weights_are_found_anew_at_scheduled_trials_only(monkeypatch):
    """So that the cost of a trial does not grow with the study."""
    fits = []
    honest = processes.fit
    monkeypatch.setattr(processes, "fit", lambda *a, **k: fits.append(1) or honest(*a, **k))
    processes._FITS._kept.clear()
    ended(study(trials=128), agreeing)
    before = len(fits)
    ended(study(trials=160), agreeing)
    assert len(fits) - before <= before + 4 * len(LEVELS)


def test_rungs_are_weighed_in_one_thread(monkeypatch):
    seen = []
    honest = d_asha.rung_weights

    def watched(view, number):
        seen.append({found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"})
        return honest(view, number)

    monkeypatch.setattr(d_asha, "rung_weights", watched)
    with threadpool_limits(limits=2, user_api="blas"):
        ended(study(trials=10), agreeing)
    assert len(seen) >= 10 and all(threads == {1} for threads in seen)


def test_one_bracket_leaves_nothing_to_choose():
    with pytest.raises(Refused, match="brackets is 1, expected at least 2"):
        DelayedAshaScheduler.Options(learn_brackets=True)
