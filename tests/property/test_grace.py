"""Adaptive grace: a first rung whose ranking says nothing is skipped, one that says something never is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from hpo_pipe.conformance import toy_study
from hpo_pipe.schedulers.grace import AGREEMENT, FIRST, LEAST, kendall, skipped, standard_error
from hpo_pipe.toy_world import simulated
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Issue, Limits, Study

ADAPTIVE = {"name": "asha", "eta": 3, "adaptive_grace": True}


def study(seed: int = 0, trials: int = 150, **scheduler) -> Study:
    return toy_study(
        scheduler=ADAPTIVE | scheduler,
        searcher={"name": "random"},
        top=27,
        limits=Limits(trials=trials),
        seed=seed,
    )


def true_loss(parameters, resource: int) -> float:
    return abs(math.log10(parameters["lr"]) + 2.0) + 1.0 / resource


def untrained(parameters, resource: int) -> float:
    """The first rung is noise that has nothing to do with what comes."""
    noise = (math.sin(1e4 * parameters["lr"]) + 1.0) * 7919 % 1.0
    return noise if resource == 1 else true_loss(parameters, resource)


def issues(of: Study, objective) -> list[Issue]:
    return [d for m in simulated(of, objective) for d in m.entry.decisions if isinstance(d, Issue)]


def starts(found: list[Issue]) -> list[int]:
    return [issue.to for issue in found if issue.start == 0 and issue.rung == issue.bracket]


@pytest.mark.parametrize("seed", range(6))
def test_a_first_rung_that_says_something_is_kept(seed):
    found = issues(study(seed), true_loss)
    assert set(starts(found)) == {1}
    assert found == issues(study(seed, adaptive_grace=False), true_loss)


def test_a_first_rung_that_says_nothing_is_dropped():
    late = [starts(issues(study(seed), untrained))[100:] for seed in range(6)]
    skipping = [np.mean([level >= 3 for level in levels]) for levels in late]
    assert np.mean(skipping) > 0.6
    assert all(set(starts(issues(study(s, adaptive_grace=False), untrained))) == {1} for s in range(2))


def test_the_reason_says_how_little_the_rung_says():
    found = [issue for issue in issues(study(1), untrained) if issue.start == 0 and issue.to == 3]
    assert "starts with epoch 3, for epoch 1 ranks as by chance (tau " in found[-1].reason


def test_nobody_is_promoted_from_a_dropped_rung():
    of = study(1)
    history = History(of)
    for moment in simulated(of, untrained):
        dropped = skipped(View.of(history)).count
        history.fold(moment.entry)
        if dropped == skipped(View.of(history)).count:
            promoted = [d.rung for d in moment.entry.decisions if isinstance(d, Issue) and d.rung > d.bracket]
            assert all(rung > dropped for rung in promoted)


def test_few_trials_say_nothing_either_way():
    of = study(1)
    history = History(of)
    for moment in simulated(of, untrained):
        history.fold(moment.entry)
        found = skipped(View.of(history))
        both = [t for t in range(len(history.trials)) if t in history.rungs[0] and t in history.rungs[1]]
        if len(both) < LEAST:
            assert found.count == 0
        elif found.count:
            assert LEAST <= found.trials <= FIRST
            assert found.tau + standard_error(found.trials) < AGREEMENT


def test_a_draft_leaves_no_trace():
    of = study(1)
    moments = list(simulated(of, untrained))
    whole = History(of)
    for moment in moments:
        whole.fold(moment.entry)
        seen = skipped(View.of(whole))
        if whole.head % 7 == 0:
            again = History(of)
            for earlier in moments[: whole.head]:
                again.fold(earlier.entry)
            assert skipped(View.of(again)) == seen


def test_the_last_two_rungs_are_never_dropped():
    of = replace(study(), resource=replace(study().resource, rungs=(9, 27)))
    history = History(of)
    assert skipped(View.of(history)).count == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_kendall_is_that_of_scipy(pairs):
    first, second = ([(0, float(pair[k])) for pair in pairs] for k in (0, 1))
    a, b = np.array(pairs).T
    if len(set(a)) == len(a) and len(set(b)) == len(b):
        assert kendall(first, second) == pytest.approx(float(kendalltau(a, b).statistic))
    assert -1.0 <= kendall(first, second) <= 1.0
    assert kendall(first, second) == kendall(second, first)


def test_kendall_without_ties():
    rng = np.random.default_rng(1)
    a, b = rng.permutation(20), rng.permutation(20)
    first, second = ([(0, float(x)) for x in values] for values in (a, b))
    assert kendall(first, second) == pytest.approx(float(kendalltau(a, b).statistic))
    assert kendall(first, first) == 1.0
    assert kendall(first, [(0, -value) for _, value in first]) == -1.0
