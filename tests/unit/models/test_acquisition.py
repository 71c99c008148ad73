"""Expected improvement to the last digits (P4), and the search for its greatest place."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo_pipe.models.acquisition import best_first, log_augmented_ei, log_ei, log_h, perturbed, search


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


class Cube:
    """A space of two numbers, one of three categories, and a forbidden half."""

    def snap(self, rows):
        found = np.clip(rows, 0, 1)
        found[:, 2] = (np.minimum(np.floor(found[:, 2] * 3), 2) + 0.5) / 3
        return found

    def permitted(self, rows):
        return rows[:, 0] <= 0.5


def test_p4_log_h_is_right_everywhere():
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    for z in [*np.linspace(-1000, -1, 120), *np.linspace(-1.001, 10, 80), -1.0, -1e-9, 0.0, -37.5, -39.0]:
        x = mpmath.mpf(float(z))
        exact = mpmath.log(mpmath.npdf(x) + x * mpmath.ncdf(x))
        assert float(log_h(np.array([z]))[0]) == pytest.approx(float(exact), rel=1e-10), z


def test_log_h_rises_and_has_no_seams():
    z = np.concatenate([-np.logspace(9, -3, 4000), np.linspace(0, 50, 1000)])
    found = log_h(z)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


def test_expected_improvement_is_that_of_samples():
    mean, sd, target = 0.3, 0.8, 0.1
    draws = mean + sd * rng().standard_normal(400_000)
    assert math.exp(log_ei(np.array([mean]), np.array([sd]), target)[0]) == pytest.approx(
        np.maximum(target - draws, 0).mean(), rel=0.02
    )


def test_augmented_improvement_is_worth_nothing_where_one_more_value_would_not_tell_more():
    mean, target, noise = np.zeros(3), 1.0, 0.04
    deviations = np.array([1e-9, 0.2, 100.0])
    found = np.exp(log_augmented_ei(mean, deviations, target, noise) - log_ei(mean, deviations, target))
    assert found == pytest.approx(
        [0.0, 1.0 - 1.0 / math.sqrt(2.0), 1.0 - 0.2 / math.sqrt(100.0**2 + 0.04)], abs=1e-9
    )


def test_differences_that_machines_disagree_on_count_for_nothing():
    assert best_first(np.array([0.1, 0.5, 0.5 + 1e-13, 0.2])).tolist() == [1, 2, 3, 0]


def test_the_search_finds_a_peak_in_what_is_permitted():
    def score(rows):
        distance = np.square(rows[:, 0] - 0.4) + np.square(rows[:, 1] - 0.81) + (rows[:, 2] != 0.5)
        return np.where(rows[:, 0] > 0.5, 9.0, -distance)  # the greatest of all is forbidden

    rows, scores = search(Cube(), (0, 0, 3), (False, False, True), rng(), np.empty((0, 3)), score)
    assert scores[0] == scores.max() and abs(rows[0] - [0.4, 0.81, 0.5]).max() < 0.03
    assert (rows[:, 0] <= 0.5).all()
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_the_search_of_a_space_where_all_is_forbidden_ends():
    class Nothing(Cube):
        def permitted(self, rows):
            return np.zeros(len(rows), dtype=bool)

    rows, scores = search(
        Nothing(), (0, 0, 3), (False, False, True), rng(), np.empty((0, 3)), lambda r: r[:, 0]
    )
    assert len(rows) == len(scores) == 0


def test_a_perturbation_changes_something_and_stays_inside():
    rows = np.tile([0.99, 0.25, np.nan, 0.5], (500, 1))
    steps, categories = np.array([0.0, 0.25, 0.0, 1 / 3]), np.array([False, False, False, True])
    found = perturbed(rows, rng(), 0.3, 0.05, steps, categories)
    assert ((found >= 0) & (found <= 1)).all()
    moved = np.abs(found[:, 1] - 0.25)
    assert set(np.round(moved[moved > 0], 9)) == {0.25}  # an ordered value moves by its step at least
    assert np.std(found[:, 2]) > 0.2  # what is inactive may come to life with any value
    assert (np.abs(found[:, 0] - 0.99) < 0.3).all() and (found[:, 0] < 0.99).any()
