"""CMA-ES: it finds the bottom of valleys that are bent, stretched, and stepped."""

from __future__ import annotations

import numpy as np
import pytest

from hpo_pipe.models.cma import Distribution, population_size, updated
from hpo_pipe.models.dimensions import Dimensions


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def searched(dimensions, loss, generations, seed=0):
    size = population_size(len(dimensions))
    now, best = Distribution.first(dimensions), np.inf
    draws = rng(seed)
    for _ in range(generations):
        rows = np.array([now.draw(dimensions, draws) for _ in range(size)])
        losses = np.array([loss(row) for row in rows])
        best = min(best, losses.min())
        now = updated(now, rows[np.argsort(losses)], dimensions)
    return now, best


def numbers(d):
    return Dimensions((0,) * d, (False,) * d)


def test_a_sphere_off_the_middle():
    now, best = searched(numbers(5), lambda u: float(np.square(u - 0.7).sum()), 100)
    assert best < 1e-8 and np.allclose(now.mean, 0.7, atol=1e-3)


def test_an_ellipsoid_teaches_the_covariance():
    scales = np.array([1.0, 30.0, 1000.0])
    now, best = searched(numbers(3), lambda u: float((scales * np.square(u - 0.4)).sum()), 90)
    assert best < 1e-8
    deviations = np.sqrt(np.diagonal(now.covariance))
    assert deviations[0] > 3 * deviations[1] > 3 * deviations[2]


def test_a_corner():
    _, best = searched(numbers(3), lambda u: float(u.sum()), 60)
    assert best < 1e-3


def test_integers_do_not_get_stuck():
    dimensions = Dimensions((0, 10), (False, False))

    def loss(u):
        step = min(int(u[1] * 10), 9)
        return float(100 * np.square(u[0] - 0.2)) + abs(step - 8)

    now, best = searched(dimensions, loss, 80)
    assert best < 1e-3
    assert now.mean[1] == pytest.approx(0.85, abs=0.1)


def test_categories_are_learnt():
    dimensions = Dimensions((0, 5), (False, True))
    now, _ = searched(dimensions, lambda u: float(np.square(u[0] - 0.3)) + (abs(u[1] - 0.7) > 0.05), 60)
    assert int(np.argmax(now.categories[0])) == 3 and now.categories[0][3] > 0.6
    assert (now.categories[0] >= 0.015).all()  # none dies out


def test_a_space_of_categories_alone():
    dimensions = Dimensions((3, 4), (True, True))
    now, best = searched(dimensions, lambda u: (abs(u[0] - 0.5) > 0.1) + (abs(u[1] - 0.125) > 0.1), 40)
    assert best == 0 and np.isfinite(now.step)


def test_a_collapsed_search_begins_anew():
    dimensions = numbers(2)
    now = Distribution.first(dimensions)
    rows = np.full((6, 2), 0.5)
    for _ in range(300):
        now = updated(now, rows, dimensions, restart=np.array([0.1, 0.9]))
        if now.mean[0] == 0.1:
            break
    assert now.mean.tolist() == [0.1, 0.9] and now.step == pytest.approx(0.3)


def test_steps_from_elsewhere_are_cut():
    dimensions = numbers(3)
    now = Distribution(np.full(3, 0.5), 1e-3, np.eye(3), np.zeros(3), np.zeros(3), ())
    after = updated(now, np.ones((6, 3)), dimensions)
    assert (np.abs(after.mean - 0.5) < 0.01).all() and after.step < 3e-3
