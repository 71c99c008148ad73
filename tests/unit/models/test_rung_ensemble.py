"""Hyper-Tune's weights: what a rung's ranking is worth."""

from __future__ import annotations

import numpy as np
import pytest

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.rung_ensemble import brackets, combined, draws, held_out_draws, shares

LINE = Distances.of(("number",))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def test_weights_are_shares():
    observed = rng().random(12)
    sampled = [observed + noise * rng(s).standard_normal((50, 12)) for s, noise in enumerate((0.1, 0.3, 2.0))]
    weights = shares(sampled, observed)
    assert weights.sum() == pytest.approx(1.0) and (weights >= 0).all()
    assert weights[0] > weights[1] > weights[2]


def test_rungs_that_agree_share_alike():
    observed = rng().random(10)
    exact = np.tile(observed, (50, 1))
    assert shares([exact, 3 * exact + 1, exact], observed).tolist() == pytest.approx([1 / 3] * 3)


def test_a_rung_that_ranks_the_wrong_way_round_counts_for_nothing():
    observed = rng().random(10)
    good = observed + 0.05 * rng(1).standard_normal((50, 10))
    weights = shares([-good, good], observed)
    assert weights[0] == 0.0 and weights[1] == 1.0


def test_equal_values_are_no_evidence():
    assert shares([rng().random((50, 6)), rng(1).random((50, 6))], np.zeros(6)).tolist() == [0.5, 0.5]


def test_draws_have_the_deviations_of_the_model():
    """In Hyper-Tune's repository: a variance for a deviation, and integers for predictions."""
    covariance = np.array([[4.0, 1.0], [1.0, 0.25 + 1e-9]])
    found = draws(np.array([0.25, -0.75]), covariance, rng(), 40_000)
    assert found.mean(axis=0) == pytest.approx([0.25, -0.75], abs=0.05)
    assert np.cov(found.T) == pytest.approx(covariance, abs=0.1)


def test_a_value_is_not_shown_to_the_model_that_predicts_it():
    rows, values = np.linspace(0, 1, 12)[:, None], np.zeros(12)
    parameters = Hyperparameters((0.02,), 1.0, 1e-6, mean_variance=1e-6)
    values[5] = 100.0
    found = held_out_draws(LINE, parameters, rows, values, rng())
    assert abs(found[:, 5].mean()) < 1.0  # known, it would be 100
    assert found.dtype == np.float64 and found.shape == (50, 12)
    shown = GaussianProcess(LINE, parameters, rows, values).posterior(rows)[0]
    assert shown[5] == pytest.approx(100.0, rel=1e-3)


def test_the_ensemble_is_the_weighted_sum():
    means, deviations = (
        [np.array([1.0, 2.0]), np.array([3.0, 0.0])],
        [np.array([0.5, 1.0]), np.array([1.0, 2.0])],
    )
    mean, deviation = combined(means, deviations, np.array([0.25, 0.75]))
    assert mean.tolist() == [2.5, 0.5]
    assert deviation == pytest.approx(np.sqrt([0.125**2 + 0.75**2, 0.25**2 + 1.5**2]))


def test_brackets_follow_weight_by_resource():
    found = brackets((0, 1), (0.2, 0.8), (1, 3, 9), (0.6, 0.3, 0.1))
    assert sum(found) == pytest.approx(1.0)
    assert found[2] == 0.1  # no evidence: as before
    assert found[1] / found[0] == pytest.approx((0.8 / 3) / 0.2)


def test_rungs_that_agree_make_brackets_by_resource_alone():
    exact = np.tile(rng().random(10), (50, 1))
    weights = shares([exact, exact, exact], exact[0]).tolist()
    assert brackets((0, 1, 2), weights, (1, 3, 9), (0.5, 0.3, 0.2)) == pytest.approx([9 / 13, 3 / 13, 1 / 13])


@pytest.mark.parametrize(
    ("rungs", "weights"),
    [((), ()), ((0,), (1.0,)), ((2,), (1.0,)), ((1, 3), (0.0, 1.0))],
    ids=["no model", "the first rung alone", "one in between", "none that a trial may start at"],
)
def test_what_is_no_evidence_changes_no_bracket(rungs, weights):
    assert brackets(rungs, weights, (1, 3, 9, 27), (0.6, 0.3, 0.1)) == (0.6, 0.3, 0.1)


def test_a_rung_without_a_model_keeps_its_share():
    assert brackets((0, 2), (0.5, 0.5), (1, 3, 9), (0.6, 0.2, 0.2)) == pytest.approx([0.72, 0.2, 0.08])
