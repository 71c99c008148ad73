"""The default search: which models take turns for which space, and what is said of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from hpo_pipe.conformance import toy_study
from hpo_pipe.searchers import auto, rgpe
from hpo_pipe.searchers.auto import MANY_RESULTS, portfolio
from hpo_pipe.space import Space
from hpo_pipe.toy_world import simulated, toy_objective
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Issue, Limits, Study

LR = {"name": "lr", "type": "float", "min": 1e-4, "max": 1.0, "log": True}
LAYERS = {"name": "layers", "type": "int", "min": 1, "max": 64}
ACTIVATION = {"name": "activation", "type": "categorical", "values": ["relu", "tanh", "gelu"]}
OPTIMIZER = {"name": "optimizer", "type": "categorical", "values": ["sgd", "adam"]}
MOMENTUM = {"name": "momentum", "type": "float", "min": 0.0, "max": 1.0, "when": {"optimizer": "sgd"}}


def over(*space: dict[str, Any], **fields: Any) -> Study:
    return toy_study(searcher={"name": "auto", "initial": 6}, space=space, **fields)


def empty(study: Study) -> View:
    return View.of(History(study))


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ((LR, LAYERS), ("gp", "gp", "forest")),
        ((LR, ACTIVATION), ("gp", "gp", "forest")),
        ((LR, ACTIVATION, OPTIMIZER), ("forest", "forest", "kde")),
        ((LR, LAYERS, OPTIMIZER, MOMENTUM), ("forest", "forest", "kde")),
        (tuple(LR | {"name": f"x{k}"} for k in range(31)), ("gp", "forest", "kde")),
    ],
    ids=["numbers", "half categories", "more categories", "conditions", "many parameters"],
)
def test_the_space_chooses_the_models(space, expected):
    assert portfolio(empty(over(*space)), 0) == expected


def test_many_results_choose_models_that_are_cheap():
    study = over(LR, LAYERS, limits=Limits(trials=MANY_RESULTS + 40))
    study = toy_study(searcher={"name": "random"}, space=study.space, limits=study.limits)
    history = History(study)
    seen = set()
    for moment in simulated(study):
        history.fold(moment.entry)
        seen.add(portfolio(View.of(history), len(history.trials)))
    few, many = ("gp", "gp", "forest"), ("forest", "kde")
    assert seen == {few, many}
    assert portfolio(View.of(history), MANY_RESULTS // 2) == few  # what was known then


def issues(study: Study) -> list[Issue]:
    return [d for m in simulated(study) for d in m.entry.decisions if isinstance(d, Issue)]


def test_models_take_turns_beside_a_random_share():
    first = [issue for issue in issues(over(LR, LAYERS, limits=Limits(trials=150))) if issue.start == 0]
    kinds = Counter(
        "forest"
        if "random forest" in issue.reason
        else "gp"
        if "Gaussian process" in issue.reason
        else "random"
        if "random share" in issue.reason
        else "spread"
        for issue in first
    )
    assert {issue.origin for issue in first} == {"auto"}
    assert kinds["spread"] >= 6
    rest = len(first) - kinds["spread"]
    assert kinds["gp"] == pytest.approx(2 * kinds["forest"], rel=0.6)
    assert 0.08 * rest < kinds["random"] < 0.35 * rest
    turns = [issue.reason for issue in first if "turns" in issue.reason]
    assert all("(2 of 3 turns)" in r or "(1 of 3 turns)" in r for r in turns)
    assert all("expected improvement" in reason for reason in turns)


def test_a_model_that_knows_too_little_passes_its_turn(monkeypatch):
    asked: list[str] = []

    def silent(name):
        return lambda view, number: asked.append(name)

    view = empty(over(LR, LAYERS))
    monkeypatch.setattr(auto, "MODELS", {name: silent(name) for name in auto.MODELS})
    searcher = auto.AutoSearcher(auto.AutoSearcher.Options(initial=1, random_share=0.0), view.space)
    suggestion = searcher.suggest(view, 2)
    assert asked == ["forest", "gp", "gp"]
    assert suggestion is not None and "too few results for a model" in suggestion.reason


def test_other_studies_have_a_turn(monkeypatch):
    monkeypatch.setattr(rgpe, "foreign", lambda view: ["a study"])
    assert portfolio(empty(over(LR, LAYERS)), 0) == ("rgpe", "gp", "forest")


def test_it_finds_better_ones_than_random_search():
    def best(searcher: str) -> float:
        found = []
        for seed in range(4):
            options = {"name": searcher} | ({"initial": 8} if searcher == "auto" else {})
            study = toy_study(searcher=options, limits=Limits(trials=60), seed=seed)
            top = max(issue.to for issue in issues(study))
            found.append(min(toy_objective(issue.parameters, top) for issue in issues(study)))
        return float(np.mean(found))

    assert best("auto") < best("random")


def test_the_space_sets_how_many_trials_come_first():
    def initial(d: int) -> int:
        space = Space.from_json([LR | {"name": f"x{k}"} for k in range(d)])
        return auto.AutoSearcher(auto.AutoSearcher.Options(), space)._start.trials

    assert [initial(d) for d in (1, 3, 7, 11, 30)] == [8, 8, 16, 24, 24]
