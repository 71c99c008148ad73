"""The shipped laws hold for studies that start from others, in both modes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo_pipe.conformance import LAWS, METRICS, SPACES, simulated, toy_objective, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.records import Issue, Limits, Study, WarmStart
from tests.unit.warm_starts import searched, source, warmed

MODELS = {
    "rgpe": {"initial": 3},
    "gp": {"initial": 5},
    "kde": {},
    "tpe": {"n_startup_trials": 5},
    "forest": {"initial": 5},
    "hyper_tune": {"initial": 5},
    "freeze_thaw": {"initial": 5},
    "priorband": {},
    "evolution": {"population": 6, "sample": 3},
    "cma_es": {"population": 4},
    "differential_evolution": {"population": 4},
}
CHEAP = (
    "deciding_leaves_no_trace",
    "a_cold_start_decides_the_same",
    "the_log_replays",
    "a_batch_is_its_parts",
)
OTHERS_HAVE_THIS_SCALE = ("maximising_is_minimising_the_negative", "scale_does_not_matter")


def warm(searcher: str, mode: str, space: str = "plain", metrics: str = "one") -> Study:
    parameters, constraints = SPACES[space]
    study = toy_study(
        searcher={"name": searcher, **MODELS.get(searcher, {})},
        space=parameters,
        constraints=constraints,
        metrics=METRICS[metrics],
        limits=Limits(trials=14),
    )
    near, far = searched(study), searched(study, lambda p, r: -toy_objective(p, r), seed=6)
    first = source(near, "near", first=[near[2].trial, near[5].trial])
    return warmed(study, first, source(far, "far", first=[far[0].trial]), mode=mode)


@pytest.mark.parametrize(
    "law", [pytest.param(law, id=name) for name, law in LAWS.items() if name not in OTHERS_HAVE_THIS_SCALE]
)
@pytest.mark.parametrize("space", SPACES)
def test_every_law_holds_for_the_ensemble_of_studies(law, space):
    study = warm("rgpe", "transfer", space)
    # the laws search small spaces to their end: there, what is tried first must be of that space, or is passed over
    law(study)


@pytest.mark.parametrize("law", [LAWS[name] for name in CHEAP], ids=CHEAP)
@pytest.mark.parametrize("metrics", ["one", "both"])
@pytest.mark.parametrize("searcher", [*MODELS, "random"])
def test_laws_hold_where_results_of_others_count(law, searcher, metrics):
    law(warm(searcher, "identical", metrics=metrics))


@pytest.mark.parametrize("metrics", ["several", "bounded", "both"])
def test_the_ensemble_copes_with_what_counts(metrics):
    LAWS["a_cold_start_decides_the_same"](warm("rgpe", "transfer", "conditional", metrics))


def issues(study: Study) -> list[Issue]:
    return [d for m in simulated(study) for d in m.entry.decisions if isinstance(d, Issue)]


def test_an_empty_warm_start_is_none():
    study = toy_study(searcher={"name": "gp", "initial": 5}, limits=Limits(trials=12))
    assert issues(replace(study, warm_start=WarmStart())) == issues(study)


def test_without_other_studies_the_ensemble_is_the_gaussian_process():
    studies = [
        toy_study(searcher={"name": name, "initial": 5}, limits=Limits(trials=14)) for name in ("rgpe", "gp")
    ]
    assert issues(studies[0]) == issues(studies[1])


def test_where_results_of_others_count_the_ensemble_is_the_gaussian_process():
    own, other = (warm(name, "identical") for name in ("rgpe", "gp"))
    assert issues(replace(own, searcher={"name": "rgpe", "initial": 5})) == issues(other)


def test_a_study_that_was_read_back_decides_the_same():
    study = warm("rgpe", "transfer", "conditional")
    again = Study.from_bytes(study.to_bytes())
    assert again == study
    for moment in simulated(study):
        if moment.entry.entry == 6:
            assert moment.entry.decisions == decide(View.of(_grown(again, moment.log)), moment.facts)


def _grown(study, log):
    from storage_schema.history import History

    history = History(study)
    for entry in log:
        history.fold(entry)
    return history
