"""kde and tpe: laws K1, K3 and K4, the constant liar, and what is good."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import furthest
from tests.unit.searchers.worlds import SQUARE, Search, best_of, uniform


def distance(p):
    return (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2


def told(search, n, rung=0, seed=0, loss=distance):
    for parameters in uniform(seed, n):
        search.add(parameters, loss(parameters), rung)


def test_k1_with_too_few_results_it_is_uniform():
    search = Search("kde")
    told(search, 5)  # 2 (d + 1) = 6 are needed
    found = [search.suggest(n).parameters for n in range(100, 400)]
    for name in ("x", "y"):
        assert kstest([p[name] for p in found], "uniform").pvalue > 0.01
    told(search, 1, seed=1)
    reasons = [search.suggest(n).reason for n in range(100, 140)]
    assert any("density of the best" in reason for reason in reasons)


@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.8])
def test_k3_the_random_fraction_is_what_it_says(fraction):
    search = Search("kde", random_fraction=fraction)
    told(search, 20)
    random = sum("random share" in search.suggest(n).reason for n in range(1000, 1400))
    assert binomtest(random, 400, fraction).pvalue > 0.001


def test_k4_the_highest_rung_with_enough_decides():
    search = Search("kde", random_fraction=0.0)
    told(search, 20)
    assert "at epoch 1:" in search.suggest().reason
    told(search, 5, rung=1, seed=1)
    assert "at epoch 1:" in search.suggest().reason
    told(search, 1, rung=1, seed=2)
    assert "of 6 results at epoch 3:" in search.suggest().reason
    told(search, 6, rung=2, seed=3)
    assert "of 6 results at epoch 9:" in search.suggest().reason


def test_failures_are_bad_however_many_there_are():
    search = Search("kde", random_fraction=0.0)
    for parameters in uniform(0, 60):
        if parameters["x"] > 0.5:
            search.fail(parameters)
        else:
            search.add(parameters, 1.0)
    found = np.array([search.suggest(n).parameters["x"] for n in range(200, 260)])
    assert (found < 0.5).mean() > 0.9


@pytest.mark.parametrize("name", ["kde", "tpe"])
def test_what_trains_now_is_kept_away_from(name):
    """The constant liar: without it, workers that ask together are sent to the same place."""
    search = Search(name, **({"random_fraction": 0.0} if name == "kde" else {}))
    told(search, 40)

    def inside():
        found = [search.suggest(n).parameters for n in range(200, 320)]
        return sum(max(abs(p["x"] - 0.3), abs(p["y"] - 0.6)) < 0.1 for p in found)

    before = inside()
    for parameters in uniform(5, 60):
        search.add({"x": 0.2 + 0.2 * parameters["x"], "y": 0.5 + 0.2 * parameters["y"]})
    assert inside() < 0.6 * before


def test_more_training_counts_before_less_loss():
    search = Search("tpe")
    for loss, rung in ((0.1, 0), (0.5, 2), (0.3, 1), (0.2, 1)):
        search.add(uniform(int(loss * 10), 1)[0], loss, rung)
    search.fail({"x": 0.1, "y": 0.1})
    data = furthest(snapshot(search.view, 5))
    assert data.trials[data.order].tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize("name", ["kde", "tpe"])
def test_equal_losses_and_one_value_of_a_category(name):
    """K5, as against a division by zero in HpBandSter: degenerate data leads on."""
    space = (*SQUARE, {"name": "c", "type": "categorical", "values": ["a", "b", "c"]})
    search = Search(name, space=space)
    for _ in range(25):
        search.add({"x": 0.5, "y": 0.5, "c": "a"}, 0.25)
    found = [search.suggest(n).parameters for n in range(100, 120)]
    assert len({tuple(p.values()) for p in found}) == 20


def test_a_category_of_all_good_ones_is_proposed():
    """K6, through the searcher: with codes for distances, as in Syne Tune, it is not."""
    space = (*SQUARE, {"name": "c", "type": "categorical", "values": list("abcdefgh")})
    search = Search("kde", space=space, random_fraction=0.0)
    for i, parameters in enumerate(uniform(0, 80)):
        category = "abcdefgh"[i % 8]
        search.add({**parameters, "c": category}, 0.1 if category == "h" else 1.0)
    found = [search.suggest(n).parameters["c"] for n in range(100, 140)]
    assert found.count("h") > 30


@pytest.mark.parametrize("name", ["kde", "tpe"])
def test_they_beat_random_search(name):
    space = tuple({"name": f"x{i}", "type": "float", "min": 0, "max": 1} for i in range(5))

    def loss(p, r):
        return sum((value - 0.3) ** 2 for value in p.values())

    def mean(searcher):
        return np.mean([best_of(searcher, loss, trials=80, space=space, seed=s)[0] for s in range(4)])

    assert mean({"name": name}) < 0.6 * mean({"name": "random"})
