"""Random forests: what they learn, categories, inactive parameters, variance."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.random_forest import RandomForest


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


NUMBERS = Dimensions((0,) * 4, (False,) * 4)


def truth(rows):
    return np.sin(5 * rows[:, 0]) + rows[:, 1] * rows[:, 2]


def test_a_forest_learns_a_function():
    rows, asked = rng().random((600, 4)), rng(1).random((300, 4))
    mean, sd = RandomForest(NUMBERS, rows, truth(rows), rng(2)).predict(asked)
    assert np.corrcoef(mean, truth(asked))[0, 1] > 0.97
    assert (sd > 0).all() and sd.mean() < 0.4


def test_the_same_draws_give_the_same_forest():
    rows, asked = rng().random((50, 4)), rng(1).random((30, 4))
    found = [RandomForest(NUMBERS, rows, truth(rows), rng(2)).predict(asked) for _ in range(2)]
    assert np.array_equal(found[0], found[1])
    other = RandomForest(NUMBERS, rows, truth(rows), rng(3)).predict(asked)
    assert not np.array_equal(found[0], other)


def test_categories_have_no_order():
    dimensions = Dimensions((9, 0), (True, False))
    codes = np.arange(900) % 9
    rows = np.stack([(codes + 0.5) / 9, rng().random(900)], axis=1)
    effect = np.array([0.0, 5.0, 1.0, 4.0, 0.5, 3.0, 2.0, 4.5, 1.5])
    asked = np.stack([(np.arange(9) + 0.5) / 9, np.full(9, 0.5)], axis=1)
    mean, _ = RandomForest(dimensions, rows, effect[codes], rng()).predict(asked)
    assert np.allclose(mean, effect, atol=0.05)


def test_inactive_is_a_value_of_its_own():
    rows = rng().random((400, 2))
    rows[::2, 1] = np.nan
    values = np.where(np.isnan(rows[:, 1]), -3.0, rows[:, 1])
    dimensions = Dimensions((0, 0), (False, False))
    asked = np.array([[0.5, np.nan], [0.5, 0.01], [0.5, 0.99]])
    mean, _ = RandomForest(dimensions, rows, values, rng()).predict(asked)
    assert np.allclose(mean, [-3.0, 0.01, 0.99], atol=0.1)


def test_a_category_that_was_never_seen_is_predicted():
    rows = (np.arange(40) % 2 + 0.5)[:, None] / 4
    mean, sd = RandomForest(Dimensions((4,), (True,)), rows, rows[:, 0], rng()).predict(np.array([[0.875]]))
    assert np.isfinite(mean).all() and np.isfinite(sd).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_next_to_nothing_is_enough(n):
    rows = rng().random((n, 4))
    mean, sd = RandomForest(NUMBERS, rows, np.full(n, 2.0), rng()).predict(rng(1).random((10, 4)))
    assert np.allclose(mean, 2.0) and (sd >= 0).all()


def test_variance_is_that_of_the_mixture_of_leaves():
    """Within leaves and between trees: noise stays in it however many values there are."""
    rows = rng().random((2000, 4))
    values = 0.5 * rng(1).standard_normal(2000)
    _, sd = RandomForest(NUMBERS, rows, values, rng(2)).predict(rng(3).random((200, 4)))
    assert 0.35 < np.sqrt(np.square(sd).mean()) < 0.65


def test_a_thousand_rows_are_quick():
    rows = rng().random((1000, 8))
    dimensions = Dimensions((0,) * 8, (False,) * 8)
    start = time.process_time()
    forest = RandomForest(dimensions, rows, truth(rows), rng())
    grown = time.process_time()
    forest.predict(rng(1).random((1000, 8)))
    assert grown - start < 0.5 and time.process_time() - grown < 0.05
