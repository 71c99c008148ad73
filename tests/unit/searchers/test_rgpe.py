"""RGPE: what other studies are believed, and what that is worth (laws T1 and T2)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo_pipe.models.ranking_ensemble import source_shares
from hpo_pipe.searchers.rgpe import candidates, foreign, source_data, weights_at
from hpo_pipe.toy_world import METRICS, toy_measures, toy_study
from hpo_pipe.transfer.rows import borrowed
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import WarmStart
from tests.unit.searchers.worlds import SQUARE, Search, best_of, uniform
from tests.unit.warm_starts import result, searched, source, warmed

HARM = 0.05
"""T1: how much a source of noise may cost, of the regret that random search leaves, in the median."""


def bowl(parameters, resource=1) -> float:
    return (parameters["x"] - 0.7) ** 2 + 2.0 * (parameters["y"] - 0.2) ** 2


def opposite(parameters, resource=1) -> float:
    return -bowl(parameters)


def noise(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    return lambda parameters: float(rng.random())


def measured(loss, seed, n=40, name="parent"):
    return source(
        (result(k, p, loss=((1, loss(p)),)) for k, p in enumerate(uniform(seed, n))), name, rungs=(1,)
    )


def warm(*sources, mode="transfer"):
    return WarmStart(mode=mode, best_first=0, sources=sources)


def search(*sources, mode="transfer", trials=12, seed=1):
    found = Search(
        "rgpe", top=1, seed=seed, initial=1, random_share=0.0, warm_start=warm(*sources, mode=mode)
    )
    for parameters in uniform(100 + seed, trials):
        found.add(parameters, bowl(parameters))
    return found


def shares_of(found):
    return weights_at(found.view, len(found.history.trials), foreign(found.view), "winsorize")


@pytest.mark.parametrize("seed", range(4))
def test_a_copied_task_gets_all_the_weight(seed):
    """T2. With a dozen results of its own a study knows little, and the copy everything."""
    copied, own = shares_of(search(measured(bowl, seed), seed=seed))
    assert copied >= 0.85
    assert own == pytest.approx(1.0 - copied, abs=1e-5)


@pytest.mark.parametrize("bad", [opposite, noise(0)], ids=["opposite", "noise"])
def test_a_task_that_ranks_otherwise_is_left_out(bad):
    weights = shares_of(search(measured(bowl, 1, name="copy"), measured(bad, 2, name="bad"), trials=20))
    assert weights[1] == 0.0
    assert weights[0] > 0.6


def test_sources_share_evenly_until_something_is_known():
    found = search(measured(bowl, 1), measured(opposite, 2), trials=2)
    assert shares_of(found) == (0.5, 0.5, 0.0)


def test_a_source_that_is_worse_than_the_worst_of_the_own_draws_has_no_vote():
    truth = np.arange(6.0)
    perfect, reversed_ = np.tile(truth, (20, 1)), np.tile(-truth, (20, 1))
    unsure = np.array([truth if draw % 2 else np.roll(truth, 1) for draw in range(20)])
    assert source_shares([perfect, reversed_], unsure, truth).tolist() == pytest.approx([0.75, 0.0, 0.25])
    assert source_shares([reversed_], unsure, truth).tolist() == [0.0, 1.0]
    lucky = np.vstack([perfect[:6], reversed_[:14]])
    assert source_shares([lucky], np.tile(np.roll(truth, 1), (20, 1)), truth).tolist() == [0.0, 1.0]


def test_the_first_suggestion_already_knows_where_others_found_it_good():
    found = Search("rgpe", top=1, initial=1, random_share=0.0, warm_start=warm(measured(bowl, 3)))
    found.add({"x": 0.1, "y": 0.9}, None)
    suggestion = found.suggest()
    assert suggestion.origin == "rgpe"
    assert "parent 100%" in suggestion.reason
    assert bowl(suggestion.parameters) < 0.02


def test_what_was_tried_here_is_not_explored_because_others_did_not_look_there():
    found = search(measured(bowl, 1), trials=12)
    best = min((t.parameters for t in found.history.trials), key=bowl)
    for _ in range(4):
        found.add(dict(best) | {"x": best["x"] + 1e-9}, None)
        best = found.history.trials[-1].parameters
    suggested = found.suggest().parameters
    assert max(abs(suggested[name] - best[name]) for name in best) > 1e-3


def test_what_is_too_little_is_no_source():
    few = measured(bowl, 1, n=2)
    assert foreign(search(few).view) == []
    assert foreign(search(measured(bowl, 1), mode="identical").view) == []
    assert len(foreign(search(few, measured(bowl, 1)).view)) == 1


def test_the_highest_rung_with_many_results_is_modelled():
    rows = uniform(1, 40)
    results = [
        result(
            k, p, failed=k == 39, loss=tuple((r, bowl(p) / r) for r in (1, 3, 9)[: 1 + (k < 12) + (k < 4)])
        )
        for k, p in enumerate(rows)
    ]
    found = search(source(results))
    (rows_of,) = borrowed(found.view).sources
    data = source_data(found.view, 12, rows_of)
    assert (data.rung, len(data.trials), data.values) == (1, 13, 12)


@pytest.mark.parametrize("metrics", METRICS)
def test_all_that_counts_here_becomes_one_loss_there_too(metrics):
    study = toy_study(metrics=METRICS[metrics], searcher={"name": "rgpe"})
    view = View.of(History(warmed(study, source(searched(study)))))
    (rows,) = borrowed(view).sources
    data = source_data(view, 3, rows)
    within = [
        all(not m.excess(toy_measures(r.parameters).get(m.name)) for m in study.bounded)
        for r in rows.results
        if not r.failed
    ]
    finite = data.losses[np.isfinite(data.losses)]
    assert len(finite) >= 10
    if study.bounded and not all(within):
        places = [k for k, t in enumerate(data.trials) if np.isfinite(data.losses[k])]
        inside = [
            data.losses[k]
            for k in places
            if all(
                not m.excess(toy_measures(rows.results[data.trials[k]].parameters)[m.name])
                for m in study.bounded
            )
        ]
        outside = [data.losses[k] for k in places if data.losses[k] not in inside]
        assert not inside or max(inside) < min(outside)


def test_candidates_are_for_others_to_use():
    found = search(measured(bowl, 1))
    number = len(found.history.trials)
    one, two = (candidates(found.view, number, origin=origin) for origin in ("rgpe", "auto"))
    assert one is not None and two is not None
    assert (np.diff(one.scores) <= 1e-9).all()
    assert not np.array_equal(one.rows, two.rows), "drawn from a stream of its own"
    assert np.array_equal(one.rows, candidates(found.view, number).rows)


def branin(parameters, resource=1) -> float:
    x, y = 15.0 * parameters["x"] - 5.0, 15.0 * parameters["y"]
    valley = y - 5.1 / (4.0 * math.pi**2) * x * x + 5.0 / math.pi * x - 6.0
    return valley**2 + 10.0 * (1.0 - 1.0 / (8.0 * math.pi)) * math.cos(x) + 10.0 - 0.397887


def regret(loss, trials, start=None, searcher="rgpe", seeds=11) -> float:
    """Return the median of what is left to be found; the least loss is 0."""
    options = {"name": searcher, **({"initial": 4} if searcher == "rgpe" else {})}
    found = [
        best_of(
            options,
            loss,
            trials=trials,
            space=SQUARE,
            seed=seed,
            top=1,
            warm_start=start(seed) if start else None,
        )[0]
        for seed in range(seeds)
    ]
    return float(np.median(found))


@pytest.mark.parametrize("loss", [bowl, branin])
def test_labels_at_random_do_little_harm(loss):
    """T1: it costs less than a twentieth of what random search leaves."""
    alone, misled = regret(loss, 16), regret(loss, 16, lambda seed: warm(measured(noise(seed), seed)))
    assert misled <= alone + HARM * regret(loss, 16, searcher="random")


@pytest.mark.parametrize("loss", [bowl, branin])
def test_a_like_task_saves_trials(loss):
    """The other task's best lies nearby: with half of the trials, less than half of the regret is left."""

    def alike(parameters):
        return loss({"x": min(parameters["x"] + 0.05, 1.0), "y": 0.95 * parameters["y"]})

    helped = regret(loss, 8, lambda seed: warm(measured(alike, seed)))
    assert helped <= 0.5 * regret(loss, 8)
