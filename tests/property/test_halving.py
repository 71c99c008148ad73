"""Laws of synchronous successive halving and Hyperband."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_objective, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.rungs import levels
from hpo_pipe.schedulers.hyperband import hyperband_shapes
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Entry, Facts, Finish, Issue, Limits, SetLimits, StopTrial


def test_the_table_of_the_paper():
    """Algorithm 1 for R = 81, eta = 3: bracket sizes and what is left at each rung."""
    shapes = hyperband_shapes(len(levels(1, 81, 3)), 3)
    rungs = [[shape.size // 3**i for i in range(5 - shape.first)] for shape in shapes]
    assert rungs == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    assert [shape.first for shape in shapes] == [0, 1, 2, 3, 4]


@given(st.integers(0, 7), st.integers(2, 10))
def test_a_bracket_stays_within_its_budget_and_reaches_the_top(s_max, eta):
    rungs = levels(1, eta**s_max, eta)
    for shape in hyperband_shapes(len(rungs), eta):
        sizes = [shape.size // eta**i for i in range(len(rungs) - shape.first)]
        spent = sum(size * rungs[shape.first + i] for i, size in enumerate(sizes))
        s = len(sizes) - 1
        assert sizes[-1] >= 1
        assert spent <= (s_max + 1) * rungs[-1] + (s + 1) * rungs[shape.first]
        assert [shape.kept(i) for i in range(s)] == sizes[1:]


def issues_of(study, objective=toy_objective, workers=4, seed=0):
    found = []
    for moment in simulated(study, objective, workers=workers, seed=seed):
        found += [d for d in moment.entry.decisions if isinstance(d, Issue)]
        history = moment.view.history
    return found, history


def in_rungs(issues):
    found = defaultdict(list)
    for issue in issues:
        found[issue.bracket, issue.rung].append(issue.trial)
    return found


@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([2, 3, 4]))
@settings(max_examples=20, deadline=None)
def test_survivors_are_the_best_of_a_complete_rung(seed, workers, eta):
    """S1, S2, S3: floor(n_i / eta) go on, nobody who stayed is better, and nobody is measured twice."""
    study = toy_study(
        scheduler={"name": "hyperband", "eta": eta, "rounds": 1},
        searcher={"name": "random"},
        limits=Limits(),
        top=eta**2,
        eta=eta,
        seed=seed % 1000,
    )
    issues, history = issues_of(study, workers=workers, seed=seed)
    there = in_rungs(issues)
    for bracket, shape in enumerate(hyperband_shapes(3, eta)):
        for stage, rung in enumerate(range(shape.first, 3)):
            members = there[bracket, rung]
            assert len(members) == len(set(members)) == shape.size // eta**stage
            if rung < 2:
                table = history.rungs[rung]
                ranked = sorted(members, key=lambda trial: (table.loss(trial), trial))
                assert sorted(there[bracket, rung + 1]) == sorted(ranked[: shape.kept(stage)])
    assert isinstance(history.finished, str) and "all 3 brackets are complete" in history.finished


@given(st.integers(0, 2**32), st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_the_order_of_arrival_does_not_matter(seed, workers):
    """S4: whoever ends first, the same trials survive, and the study comes to the same end."""
    study = toy_study(
        scheduler={"name": "successive_halving", "rounds": 2}, searcher={"name": "random"}, limits=Limits()
    )
    results = [
        {key: sorted(members) for key, members in in_rungs(issues_of(study, workers=w, seed=s)[0]).items()}
        for w, s in ((1, 0), (workers, seed))
    ]
    assert results[0] == results[1]


def test_a_failed_members_place_is_lost():
    """HpBandSter fills the place of a crashed configuration with a fresh one at the higher budget; nobody should."""
    study = toy_study(
        scheduler={"name": "successive_halving", "rounds": 1, "size": 9},
        searcher={"name": "random"},
        limits=Limits(),
    )
    crashed = {}

    def objective(parameters, resource):
        number = crashed.setdefault(parameters["lr"], len(crashed))
        return None if number < 8 else 0.5

    issues, _ = issues_of(study, objective, workers=1)
    assert [len(members) for members in in_rungs(issues).values()] == [9, 1, 1]


def test_values_that_are_not_finite_never_survive():
    study = toy_study(
        scheduler={"name": "successive_halving", "rounds": 1}, searcher={"name": "random"}, limits=Limits()
    )
    issues, history = issues_of(study, lambda parameters, resource: math.nan)
    assert {issue.rung for issue in issues} == {0} and history.finished


def test_a_bracket_that_cannot_be_filled_goes_on_with_what_it_has():
    study = toy_study(
        scheduler={"name": "successive_halving"}, searcher={"name": "random"}, limits=Limits(trials=7)
    )
    issues, history = issues_of(study)
    assert {key: len(members) for key, members in in_rungs(issues).items()} == {(0, 0): 7, (0, 1): 2}
    assert "limit of 7 trials" in str(history.finished)


def test_a_raised_limit_fills_the_bracket_that_was_left():
    """Whether the limit was in the way before is not remembered: a coordinator that starts now decides the same."""
    study = toy_study(
        scheduler={"name": "successive_halving"}, searcher={"name": "random"}, limits=Limits(trials=12)
    )
    log = [moment.entry for moment in simulated(study, seed=0, workers=3)][:-1]  # without the study's end
    filled = 0
    for length in range(1, len(log) + 1):
        followed, fresh = View.of(History(study)), View.of(History(study))
        for entry in log[:length]:
            followed.history.fold(entry)
            decide(
                followed, Facts(now=entry.facts.now, demand=50)
            )  # it looks, and finds the limit in the way
            fresh.history.fold(entry)
        more = SetLimits(limits=Limits(trials=18), reason="more")
        raised = Entry(entry=length, token="u", author="user", facts=None, decisions=(more,))
        followed.history.fold(raised)
        fresh.history.fold(raised)
        facts = Facts(now=99.0, demand=50)
        decisions = decide(followed, facts)
        assert decisions == decide(fresh, facts)
        filled += any(d.bracket == 1 and d.start == 0 for d in decisions if isinstance(d, Issue))
    assert filled


@pytest.mark.parametrize("scheduler", ["hyperband", "successive_halving"])
def test_no_worker_waits_for_a_rung_to_end(scheduler):
    """The next bracket begins while the last members of a rung are under way."""
    study = toy_study(scheduler={"name": scheduler}, searcher={"name": "random"}, limits=Limits(trials=60))
    for moment in simulated(study, workers=6):
        history = moment.history()
        history.fold(moment.entry)
        done = any(isinstance(d, Finish) for d in moment.entry.decisions) or history.finished
        assert done or len(history.trials) == 60 or len(history.open) >= 6


def test_a_stopped_trial_is_not_promoted():
    study = toy_study(
        scheduler={"name": "successive_halving", "rounds": 1}, searcher={"name": "random"}, limits=Limits()
    )
    moment = next(m for m in simulated(study, workers=9) if _full(m))
    history = moment.history()
    with history.draft():
        history.fold_facts(moment.facts)
        best = history.rungs[0].ranking[0][1]
    history.fold_decision(StopTrial(trial=best, reason="a user's"))
    promoted = [
        d.trial for d in decide(View.of(history), moment.facts) if isinstance(d, Issue) and d.rung == 1
    ]
    assert promoted and best not in promoted


def _full(moment):
    """Whether the first rung is complete with this moment's facts."""
    history = moment.history()
    with history.draft():
        history.fold_facts(moment.facts)
        return len(history.rungs[0]) == 9


def test_a_study_may_have_as_many_brackets_as_trials():
    entry = Entry(
        entry=3, token="t", author="coordinator", facts=None, decisions=(issue(bracket=12_345_678),)
    )
    assert Entry.from_bytes(entry.to_bytes(), 3) == entry


def issue(bracket):
    return Issue(
        trial=0,
        start=0,
        to=1,
        rung=0,
        bracket=bracket,
        parameters={},
        origin="random",
        checkpoint=None,
        reason="",
    )
