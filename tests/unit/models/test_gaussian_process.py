"""Gaussian processes: laws P1 to P6, and what a fit finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.models.acquisition import log_ei
from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters
from hpo_pipe.models.map_fit import Posterior, Priors, fit
from hpo_pipe.models.warping import standardised

MIXED = Distances.of(("number", "ordered", "category"))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def mixed_rows(n, seed=0, inactive=0.2):
    rows = rng(seed).random((n, 3))
    rows[:, 2] = (np.floor(rows[:, 2] * 3) + 0.5) / 3
    rows[rng(seed + 1).random((n, 3)) < inactive] = np.nan
    return rows


def hyperparameters(d=3, noise=1e-4, scale=0.4):
    return Hyperparameters((scale,) * d, 1.3, noise)


def dense(distances, parameters, a, b):
    """The kernel by its definition, one pair at a time."""
    found = np.empty((len(a), len(b)))
    for i, u in enumerate(a):
        for k, v in enumerate(b):
            squared = 0.0
            for j, category in enumerate(distances.categories):
                off = math.isnan(u[j]) + math.isnan(v[j])
                if category:
                    part = float(off == 1 or (off == 0 and u[j] != v[j]))
                else:
                    filled = [0.5 if math.isnan(x[j]) else x[j] for x in (u, v)]
                    part = (filled[0] - filled[1]) ** 2 + 0.875 * (off == 1)
                squared += part / parameters.lengthscales[j] ** 2
            r = math.sqrt(squared)
            root = math.sqrt(5) * r
            found[i, k] = (1 + root + 5 * r * r / 3) * math.exp(-root)
    return parameters.variance * found + parameters.mean_variance


def test_the_kernel_is_what_its_definition_says():
    a, b, parameters = mixed_rows(12), mixed_rows(9, seed=5), Hyperparameters((0.3, 0.7, 1.1), 1.3, 1e-4)
    process = GaussianProcess(MIXED, parameters, a, np.zeros(len(a)))
    assert np.allclose(process.covariance(a, b), dense(MIXED, parameters, a, b), atol=1e-12)
    squared = np.tensordot(1 / np.square([0.3, 0.7, 1.1]), MIXED.each(a), 1)
    assert np.allclose(squared, MIXED.scaled(a, a, np.array([0.3, 0.7, 1.1])), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_p1_the_gradient_is_that_of_finite_differences(seed, own_noise):
    rows, values = mixed_rows(15, seed), rng(seed).standard_normal(15)
    noise = rng(seed + 2).random(15) if own_noise else None
    posterior = Posterior(MIXED, rows, values, noise, Priors.dimension_scaled(3))
    at = rng(seed + 1).normal(-0.5, 0.7, 5)
    gradient = posterior(at)[1]
    for j in range(5):
        step = np.zeros(5)
        step[j] = 1e-5
        slope = (posterior(at + step)[0] - posterior(at - step)[0]) / 2e-5
        assert gradient[j] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_the_value_is_the_density_of_the_data_and_the_priors():
    from scipy.stats import multivariate_normal, norm

    rows, values = mixed_rows(10), rng(3).standard_normal(10)
    priors, noise = Priors.freeze_thaw(3), rng(4).random(10)
    at = np.array([-1.0, 0.2, 0.4, 0.1, -3.0])
    parameters = Hyperparameters(tuple(np.exp(at[:3])), math.exp(at[3]), 0.0)
    covariance = dense(MIXED, parameters, rows, rows) + np.diag(noise + math.exp(at[4]))
    expected = -multivariate_normal(np.zeros(10), covariance).logpdf(values)
    for j, (mean, sd) in enumerate([priors.lengthscale] * 3 + [priors.variance, priors.noise]):
        expected -= norm(mean, sd).logpdf(at[j]) + math.log(sd * math.sqrt(2 * math.pi))
    assert Posterior(MIXED, rows, values, noise, priors)(at)[0] == pytest.approx(expected, rel=1e-10)


def test_p2_without_noise_the_posterior_goes_through_the_data():
    rows, values = mixed_rows(20), rng(1).standard_normal(20)
    mean, sd = GaussianProcess(MIXED, hyperparameters(noise=1e-10), rows, values).posterior(rows)
    assert np.allclose(mean, values, atol=1e-5)
    assert sd.max() < 1e-3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(-8, 0))
def test_p3_variance_is_between_nothing_and_the_prior(seed, n, log_noise):
    rows, values = mixed_rows(n, seed), rng(seed).standard_normal(n)
    parameters = hyperparameters(noise=10**log_noise)
    mean, sd = GaussianProcess(MIXED, parameters, rows, values).posterior(mixed_rows(50, seed + 7))
    assert np.isfinite(mean).all()
    assert (sd > 0).all() and (sd**2 <= parameters.variance + parameters.mean_variance + 1e-9).all()


def test_p5_a_pending_row_lowers_expected_improvement_there_and_leaves_the_means():
    rows, values = mixed_rows(15), rng(1).standard_normal(15)
    process = GaussianProcess(MIXED, hyperparameters(noise=1e-3), rows, values)
    pending = mixed_rows(4, seed=9)
    believing = process.believing(pending, 1e-3)
    everywhere = np.vstack([pending, mixed_rows(30, seed=11)])
    before, after = process.posterior(everywhere), believing.posterior(everywhere)
    assert np.allclose(before[0], after[0], atol=1e-9)
    assert (after[1] <= before[1] + 1e-9).all()
    target = float(values.min())
    assert (log_ei(*after, target)[:4] < log_ei(*before, target)[:4]).all()


def test_believing_is_conditioning_on_the_posterior_mean():
    rows, values = mixed_rows(12), rng(1).standard_normal(12)
    process = GaussianProcess(MIXED, hyperparameters(noise=1e-2), rows, values)
    pending, asked = mixed_rows(5, seed=9), mixed_rows(20, seed=10)
    believed = process.believing(pending, 0.05)
    own = np.concatenate([np.zeros(12), np.full(5, 0.05 - 1e-2)])
    whole = GaussianProcess(
        MIXED,
        hyperparameters(noise=1e-2),
        np.vstack([rows, pending]),
        np.append(values, process.mean(pending)),
        own,
    )
    for one, other in zip(believed.posterior(asked), whole.posterior(asked), strict=True):
        assert np.allclose(one, other, atol=1e-8)
    assert np.allclose(believed.joint(asked)[1], whole.joint(asked)[1], atol=1e-8)


def test_p6_duplicates_are_survived():
    rows = np.repeat(mixed_rows(4), 5, axis=0)
    values = rng(1).standard_normal(20)
    process = GaussianProcess(MIXED, hyperparameters(noise=0.0), rows, values)
    mean, sd = process.posterior(rows)
    assert np.isfinite(mean).all() and np.isfinite(sd).all()


def test_the_fitted_values_are_the_means_at_the_rows():
    rows, values, noise = mixed_rows(15), rng(1).standard_normal(15), rng(2).random(15)
    process = GaussianProcess(MIXED, hyperparameters(noise=0.1), rows, values, noise)
    assert np.allclose(process.fitted, process.mean(rows), atol=1e-9)


def test_what_is_left_out_is_predicted_by_the_rest():
    rows, values = mixed_rows(10), rng(1).standard_normal(10)
    noise = rng(2).random(10)
    errors, variances = GaussianProcess(MIXED, hyperparameters(noise=0.1), rows, values, noise).left_out()
    for i in range(10):
        rest = np.arange(10) != i
        process = GaussianProcess(MIXED, hyperparameters(noise=0.1), rows[rest], values[rest], noise[rest])
        mean, sd = process.posterior(rows[i : i + 1])
        assert values[i] - errors[i] == pytest.approx(mean[0])
        assert variances[i] == pytest.approx(sd[0] ** 2 + noise[i] + 0.1)


def test_a_fit_finds_which_dimensions_matter():
    rows = rng().random((60, 4))
    values = standardised(np.sin(6 * rows[:, 1]) + 0.01 * rng(1).standard_normal(60))
    found = fit(Distances.of(("number",) * 4), rows, values, Priors.dimension_scaled(4))
    others = [found.lengthscales[j] for j in (0, 2, 3)]
    assert found.lengthscales[1] < 1.0 < 3.0 * found.lengthscales[1] < min(others)
    assert found.noise < 0.05
    assert found == fit(Distances.of(("number",) * 4), rows, values, Priors.dimension_scaled(4))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_fit_of_next_to_nothing_stays_with_its_priors(n):
    found = fit(MIXED, mixed_rows(n), np.zeros(n), Priors.dimension_scaled(3))
    assert all(0.02 <= scale <= 20 for scale in found.lengthscales)
    assert 1e-6 <= found.noise <= 1.0
