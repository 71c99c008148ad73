"""A Gaussian process over curves: leave-one-out to the letter, and what it foretells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo_pipe.models.curve_regression import (
    LENGTHSCALES,
    NOISES,
    CurveProcess,
    curve_process,
    filled_columns,
    kernel,
)

STEPS = np.array([1.0, 2.0, 4.0, 8.0])


def curves(count, seed=0, noise=0.0):
    """Curves at four steps, and their ends at 27."""
    rng = np.random.Generator(np.random.PCG64(seed))
    ends, rates = 1.0 + rng.random((count, 1)), 0.5 + rng.random((count, 1))
    return ends + STEPS**-rates + noise * rng.random((count, 4)), (ends + 27.0**-rates)[:, 0]


def test_leave_one_out_picks_length_scale_and_noise():
    """Every row is left out in turn, by conditioning on the others alone."""
    values, ends = curves(15, noise=0.05)
    process = curve_process(values, ends)
    rows, z = process.unit(values), process.ends(ends)

    def left_out(lengthscale, noise):
        covariance = kernel(rows, rows, lengthscale) + noise * np.eye(15)
        found = []
        for i in range(15):
            others = np.arange(15) != i
            solved = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, i])
            found.append((z[i] - solved @ z[others], covariance[i, i] - solved @ covariance[others, i]))
        residuals, variances = np.array(found).T
        return float((-0.5 * np.log(2 * math.pi * variances) - 0.5 * residuals**2 / variances).sum())

    scores = {(a, b): left_out(a, b) for a in LENGTHSCALES for b in NOISES}
    assert (process.lengthscale, process.noise) == max(scores, key=lambda key: scores[key])


def test_the_forecast_is_the_posterior():
    values, ends = curves(12)
    process = curve_process(values, ends)
    row, rows = process.unit(values[3:4] + 0.03), process.rows
    covariance = kernel(rows, rows, process.lengthscale) + process.noise * np.eye(12)
    cross = kernel(rows, row, process.lengthscale)[:, 0]
    mean = cross @ np.linalg.solve(covariance, process.ends(ends))
    own = kernel(row, row, process.lengthscale)[0, 0] + process.noise
    variance = own - cross @ np.linalg.solve(covariance, cross)
    found = process.forecast(values[3] + 0.03)
    assert process.ends(np.array(found.mean)) == pytest.approx(mean, rel=1e-9)
    assert found.deviation / process.ends.deviation == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_a_curve_like_none_of_the_others_is_not_foretold_with_confidence():
    """With few curves, all alike; a scale fitted to them would be tiny."""
    values, ends = curves(10)
    ends = values[:, -1] + 0.1
    process = curve_process(values, ends)
    near = process.forecast(values[0]).deviation
    far = process.forecast(values[0] + np.array([3.0, -2.0, 2.0, 0.0])).deviation
    assert near < 0.2 * ends.std() and far > 0.8 * ends.std()


def test_ends_of_other_curves_are_foretold_with_honest_deviations():
    known, ends = curves(60, noise=0.02)
    process = curve_process(known, ends)
    others, true = curves(200, seed=1, noise=0.02)
    found = [process.forecast(row) for row in others]
    z = (np.array([f.mean for f in found]) - true) / np.array([f.deviation for f in found])
    assert 0.6 < z.std() < 1.5 and abs(z.mean()) < 0.4
    assert np.std([f.mean for f in found] - true) < 0.4 * true.std()
    assert found[0].below(true.min() - 1.0) < 0.01 < 0.99 < found[0].below(true.max() + 1.0)


def test_another_unit_leads_to_the_same_probabilities():
    values, ends = curves(20, noise=0.1)
    other = curve_process(4.0 * values + 0.5, 4.0 * ends + 0.5)
    here = curve_process(values, ends)
    assert other.forecast(4.0 * values[2] + 0.5).below(4.5) == pytest.approx(
        here.forecast(values[2]).below(1.0)
    )


def test_what_is_not_finite_counts_as_the_worst_and_outliers_are_cut():
    values, ends = curves(20)
    values[4, 1:], ends[4], values[5, 0] = np.inf, np.inf, np.nan
    filled = filled_columns(values)
    assert np.isfinite(filled).all()
    assert (filled[4, 1:] == [values[np.isfinite(values[:, j]), j].max() for j in (1, 2, 3)]).all()
    assert values[:, 0][~np.isnan(values[:, 0])].min() < filled[5, 0] < np.nanmax(values[:, 0])
    exploded = values.copy()
    exploded[4, 1:] = 1e300
    for each in (values, exploded):
        process = curve_process(each, ends)
        assert isinstance(process, CurveProcess)
        calm, wild = process.forecast(filled[0]), process.forecast(np.full(4, 1e300))
        assert calm.mean < wild.mean and math.isfinite(wild.mean) and calm.deviation > 0.0


def test_equal_curves_and_equal_ends():
    values, ends = curves(12)
    assert curve_process(values, np.full(12, 0.5)) is None
    assert curve_process(values, np.full(12, np.inf)) is None
    found = curve_process(np.ones((12, 4)), ends).forecast(np.ones(4))
    assert found.mean == pytest.approx(ends.mean()) and found.deviation > 0.3 * ends.std()
