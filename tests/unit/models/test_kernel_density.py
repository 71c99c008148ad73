"""Kernel densities: laws K2, K5, K6, borders, categories, inactive parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import truncnorm

from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.kernel_density import (
    KernelDensity,
    category_weight,
    neighbour_bandwidths,
    old_ones_less,
    reference_bandwidths,
)
from hpo_pipe.models.truncated_normal import draw, log_mass

LINE = Dimensions((0,), (False,))
SQUARE = Dimensions((0, 0), (False, False))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def both(dimensions, rows):
    return [
        KernelDensity(dimensions, rows, rule(dimensions, rows))
        for rule in (reference_bandwidths, neighbour_bandwidths)
    ]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_k2_a_density_of_one_number_integrates_to_one(values):
    for density in both(LINE, np.array(values)[:, None]):
        grid = (np.arange(20_000) + 0.5) / 20_000
        assert np.exp(density.log_density(grid[:, None])).mean() == pytest.approx(1.0, abs=1e-3)


def test_k2_in_the_square_and_at_its_corner():
    rows = np.array([[0.0, 0.0], [0.02, 0.99], [0.5, 0.4]])
    for density in both(SQUARE, rows):
        total, _ = integrate.dblquad(
            lambda y, x, d=density: float(np.exp(d.log_density(np.array([[x, y]])))[0]),
            0,
            1,
            0,
            1,
            epsabs=1e-4,
        )
        assert total == pytest.approx(1.0, abs=1e-3)


@given(st.integers(2, 9), st.lists(st.integers(0, 100), min_size=1, max_size=20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_k2_masses_of_values_sum_to_one(levels, codes, ordered):
    dimensions = Dimensions((levels,), (not ordered,))
    rows = (np.array(codes)[:, None] % levels + 0.5) / levels
    everything = (np.arange(levels)[:, None] + 0.5) / levels
    for density in both(dimensions, rows):
        assert np.exp(density.log_density(everything)).mean() == pytest.approx(1.0, abs=1e-6)


def test_k5_degenerate_data_has_finite_scores():
    dimensions = Dimensions((0, 4, 3), (False, False, True))
    same = np.tile([0.3, 0.375, 0.5], (10, 1))
    asked = np.array([[0.3, 0.375, 0.5], [0.9, 0.875, 1 / 6], [0.0, 0.125, 5 / 6]])
    for density in both(dimensions, same):
        assert np.isfinite(density.log_density(asked)).all()
        drawn = density.sample(500, rng(), 3.0)
        assert np.isfinite(drawn).all() and ((drawn >= 0) & (drawn <= 1)).all()
        assert len(np.unique(drawn[:, 0])) > 400


@pytest.mark.parametrize("levels", [2, 4, 6, 10, 30])
@pytest.mark.parametrize("rule", [reference_bandwidths, neighbour_bandwidths])
def test_k6_a_category_of_all_good_ones_is_favoured(levels, rule):
    """Where a bandwidth is computed from the codes' deviation it is not (HpBandSter, Syne Tune)."""
    dimensions = Dimensions((levels,), (True,))
    place = lambda codes: (np.array(codes)[:, None] + 0.5) / levels  # noqa: E731
    good = place([levels - 1] * 10)
    bad = place([i % (levels - 1) for i in range(30)])
    asked = place(range(levels))
    ratio = KernelDensity(dimensions, good, rule(dimensions, good)).log_density(asked)
    ratio = ratio - KernelDensity(dimensions, bad, rule(dimensions, bad)).log_density(asked)
    assert ratio[levels - 1] > 0 > ratio[:-1].max()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.lists(st.integers(0, 11), min_size=2, max_size=40))
def test_the_most_frequent_category_has_the_greatest_mass(levels, codes):
    codes = np.array(codes) % levels
    weight = category_weight(codes.astype(float), levels)
    assert 0 < weight <= 0.9 * (levels - 1) / levels + 1e-12
    assert 1 - weight > weight / max(levels - 1, 1)
    dimensions = Dimensions((levels,), (True,))
    rows = (codes[:, None] + 0.5) / levels
    everything = (np.arange(levels)[:, None] + 0.5) / levels
    found = KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows)).log_density(everything)
    counts = np.bincount(codes, minlength=levels)
    assert counts[int(np.argmax(np.round(found, 9)))] == counts.max()


def test_permuting_the_codes_of_a_category_permutes_its_density():
    """G11: a density that depends on codes is HpBandSter's."""
    levels, codes = 6, np.array([0, 0, 1, 3, 3, 3, 5])
    dimensions = Dimensions((levels,), (True,))
    permutation = np.array([3, 5, 0, 2, 1, 4])
    everything = (np.arange(levels)[:, None] + 0.5) / levels

    def density(of):
        rows = (of[:, None] + 0.5) / levels
        return KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows)).log_density(everything)

    assert np.allclose(density(codes), density(permutation[codes])[permutation])


def test_scaled_integers_count_in_steps_of_their_own():
    """Not so in Syne Tune: a kernel over 1000 integers is as wide as one over the interval that they lie in."""
    rows = rng().random((30, 1))
    fine = (np.floor(rows * 1000) + 0.5) / 1000
    asked = (np.floor(rng(1).random((50, 1)) * 1000) + 0.5) / 1000
    integers = KernelDensity(Dimensions((1000,), (False,)), fine, reference_bandwidths(LINE, fine))
    numbers = KernelDensity(LINE, fine, reference_bandwidths(LINE, fine))
    assert np.allclose(integers.log_density(asked), numbers.log_density(asked), atol=0.01)


def test_many_dimensions_do_not_underflow():
    d = 60
    dimensions = Dimensions((0,) * d, (False,) * d)
    good, bad = 0.2 + 0.02 * rng().random((20, d)), rng(1).random((80, d))
    asked = np.vstack([np.full((1, d), 0.21), np.full((1, d), 0.8)])
    score = KernelDensity(dimensions, good, reference_bandwidths(dimensions, good)).log_density(asked)
    score = score - KernelDensity(dimensions, bad, reference_bandwidths(dimensions, bad)).log_density(asked)
    assert np.isfinite(score).all() and score[0] > 50 > score[1]


def test_inactive_entries_say_nothing():
    rows = np.array([[0.2, np.nan], [0.8, 0.3]])
    widths = np.full((2, 2), 0.1)
    density = KernelDensity(SQUARE, rows, widths, prior_weight=0.0)
    first = KernelDensity(LINE, rows[:, :1], widths[:, :1], prior_weight=0.0)
    asked = np.array([[0.25, np.nan], [0.7, np.nan]])
    assert np.allclose(density.log_density(asked), first.log_density(asked[:, :1]))
    flat = density.log_density(np.array([[0.2, y] for y in (0.1, 0.5, 0.9)]))
    assert np.ptp(flat) < 1e-6  # the row near 0.2 is uniform along the second dimension
    assert not np.isnan(density.sample(100, rng())).any()


def test_the_prior_component_bounds_the_ratio():
    rows = np.full((10, 1), 0.1)
    density = KernelDensity(LINE, rows, np.full((10, 1), 0.01))
    assert density.log_density(np.array([[0.9]]))[0] == pytest.approx(math.log(1 / 11))


def test_truncated_normals_are_scipys():
    u = rng().random(300)
    mean, sd = rng(1).random(300), 10 ** (rng(2).random(300) * 3 - 2.5)
    low, high = -mean / sd, (1 - mean) / sd
    assert np.allclose(draw(u, mean, sd), truncnorm.ppf(u, low, high, mean, sd), atol=1e-7)
    assert np.allclose(log_mass(low, high), np.log(_mass(low, high)), atol=1e-9)
    assert np.isfinite(log_mass(np.array([30.0]), np.array([31.0]))).all()


def _mass(low, high):
    from scipy.stats import norm

    return np.where(low > 0, norm.sf(low) - norm.sf(high), norm.cdf(high) - norm.cdf(low))


def test_neighbours_are_bandwidths():
    widths = neighbour_bandwidths(LINE, np.array([[0.1], [0.4], [0.9]]))[:, 0]
    assert widths.tolist() == pytest.approx([0.3, 0.3, 0.4])  # the prior's 0.5 stands between the last two
    assert neighbour_bandwidths(LINE, np.array([[0.5]]))[0, 0] == pytest.approx(1 / 3)  # 1 / (1 + kernels)


def test_old_rows_count_less():
    assert old_ones_less(25).tolist() == [1.0] * 25
    ramp = old_ones_less(125)
    assert ramp[0] == pytest.approx(1 / 125) and (np.diff(ramp[:100]) > 0).all() and (ramp[100:] == 1).all()


def test_samples_follow_the_density():
    dimensions = Dimensions((0, 5), (False, True))
    rows = np.array([[0.1, 0.1], [0.7, 0.5], [0.75, 0.5]])
    density = KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows))
    drawn = density.sample(40_000, rng())
    grid = np.stack(np.meshgrid((np.arange(100) + 0.5) / 100, (np.arange(5) + 0.5) / 5), -1).reshape(-1, 2)
    mass = np.exp(density.log_density(grid)).reshape(5, 100)
    mass /= mass.sum()
    seen = np.histogram2d(drawn[:, 1], drawn[:, 0], bins=(5, 10), range=[[0, 1], [0, 1]])[0] / len(drawn)
    assert np.abs(seen - mass.reshape(5, 10, 10).sum(axis=2)).max() < 0.01
