"""What D-ASHA and PASHA change of ASHA."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import SPACE, simulated, toy_study
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.schedulers.pasha import PashaScheduler, crisscrossed
from hpo_pipe.view import Promote, View
from storage_schema.records import Issue, Limits

TRIALS = 60


def study(name, **options):
    return toy_study(
        scheduler={"name": name, **options}, searcher={"name": "random"}, top=81, limits=Limits(trials=TRIALS)
    )


def steady(parameters, resource):
    return parameters["lr"] + 1.0 / resource


def shuffled(parameters, resource):
    """Every rung ranks anew."""
    return math.modf(parameters["lr"] * 1e6 * math.sqrt(resource))[0]


def actions(the_study, objective, seed=0):
    for moment in simulated(the_study, objective, seed=seed):
        yield moment, [d for d in moment.entry.decisions if isinstance(d, Issue)]


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4]), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_d_asha_never_promotes_more_than_its_share(seed, eta, delay, learn):
    brackets = {"brackets": 3, "learn_brackets": True} if learn else {}
    the_study = toy_study(
        scheduler={"name": "d_asha", "eta": eta, "delay": delay, **brackets},
        searcher={"name": "random"},
        eta=eta,
        top=eta**3,
        limits=Limits(trials=TRIALS),
    )
    promoted = 0
    for moment, _ in actions(the_study, steady, seed):
        history = moment.history()
        history.fold(moment.entry)
        for place, rung in enumerate(history.rungs):
            assert len(rung.promoted) <= len(rung) // eta
            assert not delay or not rung.promoted or len(rung) >= eta ** (3 - place)
        promoted = len(history.rungs[0].promoted)
    assert learn or promoted >= (TRIALS // eta - 1 if not delay or eta < 4 else 0)


def test_pasha_stays_low_while_the_ranking_stays():
    issues = [issue for _, found in actions(study("pasha"), steady) for issue in found]
    assert max(issue.rung for issue in issues) == 1


def test_pasha_goes_on_while_the_ranking_changes():
    """With the least tolerance; with the ordinary one, curves that cross again and again are taken for ties."""

    def highest(percentile):
        the_study = study("pasha", noise_percentile=percentile)
        return max(issue.rung for _, found in actions(the_study, shuffled) for issue in found)

    assert highest(90.0) < 3 <= highest(0.0)


def test_pasha_is_asha_where_every_check_disagrees():
    class Disagreeing(PashaScheduler):
        def _agree(self, view, top):
            return False

    asha, pasha = AshaScheduler(AshaScheduler.Options()), Disagreeing(PashaScheduler.Options())
    promotions = 0
    for moment in simulated(study("asha"), steady):
        history = moment.history()
        history.fold_facts(moment.facts)
        move = asha.next_move(View.of(history))
        assert pasha.next_move(View.of(history)) == move
        promotions += isinstance(move, Promote)
    assert promotions


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_pashas_cap_never_falls(seed):
    """Once a rung was promoted to, the one below stays open though all rankings agree again; none is skipped."""

    class Agreeing(PashaScheduler):
        def _agree(self, view, top):
            return True

    def noisy(parameters, resource):
        return parameters["lr"] + ((parameters["layers"] * resource * 7919 + seed) % 13) / 100

    pasha, cap = Agreeing(PashaScheduler.Options()), 1
    for moment, issues in actions(study("pasha", noise_percentile=0.0), noisy, seed):
        history = moment.history()
        history.fold(moment.entry)
        for issue in issues:
            assert issue.rung <= cap + 1, "a rung was skipped"
            cap = max(cap, issue.rung)
        assert all(pasha._may_promote(View.of(history), place) for place in range(cap)), "the cap has fallen"
    assert cap > 1


def test_pashas_cap_comes_to_the_top_if_rankings_keep_changing():
    the_study = replace(study("pasha", noise_percentile=0.0), limits=Limits(trials=400))
    issues = [issue for _, found in actions(the_study, shuffled) for issue in found]
    assert max(issue.to for issue in issues) == 81


def test_what_counts_as_crossing_back():
    """The order differs from an earlier one, and equals a still earlier one."""
    apart = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, -1]])
    assert crisscrossed(apart).tolist() == [
        [False, False, False, False],
        [False, False, True, True],
        [False, False, False, False],
        [False, False, False, True],
    ]


@pytest.mark.parametrize("name", ["asha", "d_asha", "pasha"])
def test_all_of_them_start_with_the_space_that_they_are_given(name):
    first = next(issues for _, issues in actions(study(name), steady) if issues)
    assert set(first[0].parameters) == {parameter["name"] for parameter in SPACE}
