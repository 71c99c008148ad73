"""Laws of every algorithm that the shipped ones do not ask: names, increasing maps, generators, and budgets."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from hpo_pipe.conformance import simulated, toy_objective, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.searchers import SEARCHERS
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import CheckpointId, manifest_key
from storage_schema.records import CheckpointRef, Facts, Issue, Limits, StopTrial
from tests.conformance.test_algorithms import SCHEDULING, SEARCHING, named, variants

BY_RANK = ("none", "successive_halving", "hyperband", "asha", "asha_stopping", "d_asha")
"""Schedulers that look at nothing but who is better than whom."""
SEARCH_BY_RANK = ("random", "grid", "sobol", "halton", "tpe", "kde", "cma_es", "evolution")
STUDIES = [
    *(
        pytest.param(scheduler, {"name": "random"}, id=named(scheduler))
        for scheduler in variants(SCHEDULERS, SCHEDULING)
    ),
    *(
        pytest.param({"name": "asha"}, searcher, id=named(searcher))
        for searcher in variants(SEARCHERS, SEARCHING)
        if searcher["name"] != "random"
    ),
]


def study(scheduler, searcher, **more):
    return toy_study(scheduler=scheduler, searcher=searcher, eta=scheduler.get("eta", 3), **more)


def without_reasons(decisions):
    return [replace(decision, reason="") for decision in decisions]


def actions(the_study, objective):
    return [without_reasons(moment.entry.decisions) for moment in simulated(the_study, objective)]


@pytest.mark.parametrize(
    ("scheduler", "searcher"),
    [*((name, "random") for name in BY_RANK), *(("asha", name) for name in SEARCH_BY_RANK[1:])],
)
def test_what_ranks_does_not_see_an_increasing_map(scheduler, searcher):
    """G7, for all that goes by rank: any strictly increasing map of the losses, not only the affine ones."""
    options = SEARCHING.get(searcher, ({},))[0]
    the_study = study({"name": scheduler}, {"name": searcher, **options})
    bent = actions(the_study, lambda parameters, resource: (toy_objective(parameters, resource) + 0.25) ** 3)
    assert bent == actions(the_study, toy_objective)


def test_what_does_not_go_by_rank_sees_a_bend():
    """That the map above is one that can be seen at all: the median rule averages."""
    the_study = study({"name": "median", "min_trials": 2}, {"name": "random"}, top=27)
    bent = actions(the_study, lambda parameters, resource: toy_objective(parameters, resource) ** 9)
    assert bent != actions(the_study, toy_objective)


@pytest.mark.parametrize(("scheduler", "searcher"), STUDIES)
def test_no_generator_of_the_process_is_drawn_from_or_seeded(scheduler, searcher):
    """Ray's and Syne Tune's brackets, and HpBandSter's model, draw from numpy's global generator."""
    the_study = replace(study(scheduler, searcher), limits=Limits(trials=12))
    before = random.getstate(), np.random.get_state(legacy=False)
    list(simulated(the_study))
    after = random.getstate(), np.random.get_state(legacy=False)
    assert before[0] == after[0]
    assert before[1]["state"]["pos"] == after[1]["state"]["pos"]
    assert (before[1]["state"]["key"] == after[1]["state"]["key"]).all()


@pytest.mark.parametrize("scheduler", variants(SCHEDULERS, SCHEDULING), ids=named)
def test_what_was_given_out_adds_up(scheduler):
    """Resources started are the last targets, less where trials began; every trial is at a rung once."""
    the_study = study(scheduler, {"name": "random"})
    view = View.of(History(the_study))
    history = view.history
    for moment in simulated(the_study):
        facts = with_checkpoints(history, moment.facts)
        decisions = decide(view, facts)
        history.fold(replace(moment.entry, facts=facts, decisions=decisions))
        if not getattr(SCHEDULERS[scheduler["name"]], "keeps_checkpoints", False):
            assert reach(decisions) == reach(moment.entry.decisions), "checkpoints change who trains how far"
    trials = history.trials
    assert sum(spec.issue.to - spec.issue.start for trial in trials for spec in trial.specs) == sum(
        trial.last.issue.to - trial.specs[0].issue.start for trial in trials
    )
    assert history.issued_resource == sum(t.last.issue.to - t.specs[0].issue.start for t in trials)
    for place, rung in enumerate(history.rungs):
        members = [trial for _, trial in rung.ranking]
        assert len(members) == len(set(members))
        assert all(any(spec.issue.rung == place for spec in trials[trial].specs) for trial in members)


def with_checkpoints(history: History, facts: Facts) -> Facts:
    """The same facts, with a checkpoint at the end of each spec that is done."""
    settled = []
    for fact in facts.settled:
        issue = history.specs[fact.spec].issue
        key = manifest_key(CheckpointId(issue.trial, issue.to, fact.spec, 1))
        ref = CheckpointRef(key=key, sha256="0" * 64, resource=issue.to)
        settled.append(replace(fact, checkpoint=ref) if fact.outcome == "done" else fact)
    return replace(facts, settled=tuple(settled))


def reach(decisions):
    """Who trains how far, or is stopped."""
    issues = [(d.trial, d.to, dict(d.parameters)) for d in decisions if isinstance(d, Issue)]
    return issues, [d.trial for d in decisions if isinstance(d, StopTrial)]


@pytest.mark.parametrize("scheduler", variants(SCHEDULERS, SCHEDULING), ids=named)
def test_without_checkpoints_every_spec_is_paid_for_from_the_beginning(scheduler):
    the_study = study(scheduler, {"name": "random"})
    history = [moment.view.history for moment in simulated(the_study)][-1]
    specs = [spec.issue for trial in history.trials for spec in trial.specs]
    if not getattr(SCHEDULERS[scheduler["name"]], "keeps_checkpoints", False):
        assert all(issue.start == 0 for issue in specs)
    assert history.issued_resource == sum(issue.to - issue.start for issue in specs)


@pytest.mark.parametrize("scheduler", variants(SCHEDULERS, SCHEDULING), ids=named)
def test_the_name_of_a_study_decides_nothing(scheduler):
    """Optuna's brackets depend on the study's name, and before that on the process's hash seed."""
    here = study(scheduler, {"name": "random"})
    there = replace(here, name="another", token="f" * 32, created_at=1e9)
    assert actions(here, toy_objective) == actions(there, toy_objective)
