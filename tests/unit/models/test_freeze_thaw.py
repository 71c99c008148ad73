"""Freeze-thaw: the pseudo-observations are the dense process (F1, F2), and curves at their end are known (F3)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from hpo_pipe.models.freeze_thaw import (
    CurveVariances,
    _evidence,
    _groups,
    ends,
    fit_variances,
    forecast,
    pseudo_observations,
    times,
)

LADDER = (1, 3, 9, 27)
AT = times(LADDER, 27)
VARIANCES = CurveVariances(0.4, 0.06, 0.01)
TREND = (0.7, -0.2)


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def world(n=7, seed=0, complete=0):
    """Curves of different lengths, with a hole here and there, and a covariance of their ends."""
    curves = rng(seed).standard_normal((n, 4))
    for i in range(complete, n):
        curves[i, 1 + i % 4 :] = np.nan
    curves[n - 1, 0] = np.nan if np.isfinite(curves[n - 1, 1:]).any() else curves[n - 1, 0]
    x = rng(seed + 1).random(n)
    prior = np.exp(-4 * np.square(x[:, None] - x[None, :])) + 0.02 * np.eye(n)
    return curves, prior


def dense(curves, prior):
    """All values of all curves: their times, owners, covariance and mean."""
    owner, place = np.nonzero(~np.isnan(curves))
    at = AT[place]
    covariance = prior[np.ix_(owner, owner)]
    covariance = covariance + (owner[:, None] == owner[None, :]) * VARIANCES.covariance(at, at)
    covariance += VARIANCES.noise * np.eye(len(at))
    mean = TREND[0] * (1 - at) + TREND[1] * (1 - at) ** 2
    return owner, at, covariance, mean, curves[owner, place]


def test_f1_pseudo_observations_are_the_dense_process():
    curves, prior = world()
    owner, at, covariance, mean, values = dense(curves, prior)
    pseudo, noises = pseudo_observations(curves, AT, VARIANCES, TREND)
    found_mean, found_sd = ends(pseudo, noises, prior)
    cross = prior[:, owner]
    exact_mean = cross @ np.linalg.solve(covariance, values - mean)
    exact = prior - cross @ np.linalg.solve(covariance, cross.T)
    assert np.allclose(found_mean, exact_mean, atol=1e-9)
    assert np.allclose(found_sd**2, np.diagonal(exact), atol=1e-9)
    # and of a curve at a later time
    i, then = 1, 0.8
    seen = ~np.isnan(curves[i])
    end = (float(found_mean[i]), float(found_sd[i]))
    got = forecast(curves[i, seen], AT[seen], then, VARIANCES, TREND, end)
    ahead = VARIANCES.covariance(np.array([then]), at)[0] * (owner == i) + prior[i, owner]
    exact_mean = ahead @ np.linalg.solve(covariance, values - mean) + TREND[0] * 0.2 + TREND[1] * 0.04
    own = prior[i, i] + VARIANCES.covariance(np.array([then]), np.array([then]))[0, 0]
    assert got[0] == pytest.approx(exact_mean, abs=1e-9)
    assert got[1] ** 2 == pytest.approx(own - ahead @ np.linalg.solve(covariance, ahead), abs=1e-9)


def test_f2_the_likelihood_is_that_of_the_dense_process():
    """With ends that are next to free and the trend integrated out; differences, as a constant is left away."""
    curves, _ = world()
    free = 1e7

    def exact(variances):
        owner, place = np.nonzero(~np.isnan(curves))
        at = AT[place]
        same = owner[:, None] == owner[None, :]
        trend = np.stack([1 - at, (1 - at) ** 2], axis=1)
        covariance = same * (free + variances.covariance(at, at)) + 4 * trend @ trend.T
        covariance += variances.noise * np.eye(len(at))
        return multivariate_normal(np.zeros(len(at)), covariance).logpdf(curves[owner, place])

    def found(variances):
        return _evidence(list(_groups(curves, AT)), variances)

    other = CurveVariances(0.1, 0.3, 0.05)
    assert found(VARIANCES) - found(other) == pytest.approx(exact(VARIANCES) - exact(other), abs=1e-4)


def test_f3_a_finished_curve_is_known_to_its_noise():
    curves, prior = world(complete=3)
    pseudo, noises = pseudo_observations(curves, AT, VARIANCES)
    _, sd = ends(pseudo, noises, prior)
    assert (sd[:3] <= math.sqrt(VARIANCES.noise) + 1e-12).all()
    assert (noises[4:] > VARIANCES.noise).all()
    assert noises[4] > noises[5] > noises[1]  # longer curves say more


def test_grouping_changes_nothing():
    curves, _ = world(40)
    together = pseudo_observations(curves, AT, VARIANCES, TREND)
    alone = [pseudo_observations(curves[i : i + 1], AT, VARIANCES, TREND) for i in range(40)]
    assert np.allclose(together[0], [values[0] for values, _ in alone])
    assert np.allclose(together[1], [noises[0] for _, noises in alone])


def test_a_fit_tells_smooth_curves_from_noisy_ones():
    left = 1 - times(range(1, 28), 27)
    smooth = rng().standard_normal((30, 1)) + 0.5 * left + 0.3 * rng(1).standard_normal((30, 1)) * left
    noisy = smooth + 0.4 * rng(2).standard_normal(smooth.shape)
    at = times(range(1, 28), 27)
    calm, wild = fit_variances(smooth, at), fit_variances(noisy, at)
    assert calm.noise < 0.01 < 0.08 < wild.noise + wild.walk
    assert calm == fit_variances(smooth, at)


def test_trend_is_learnt_across_curves():
    at = times(LADDER, 27)
    level = rng().standard_normal((30, 1))
    curves = level + 1.5 * (1 - at) + 0.01 * rng(1).standard_normal((30, 4))
    curves[15:, 2:] = np.nan
    values, _ = pseudo_observations(curves, at, CurveVariances(0.01, 0.001, 0.001))
    assert np.abs(values - level[:, 0]).max() < 0.1


def test_a_thousand_curves_take_milliseconds():
    import time

    curves = rng().standard_normal((1000, 12))
    lengths = rng(1).integers(1, 13, 1000)
    curves[np.arange(12)[None, :] >= lengths[:, None]] = np.nan
    at = times(range(1, 13), 12)
    start = time.process_time()
    pseudo_observations(curves, at, VARIANCES)
    assert time.process_time() - start < 0.1
