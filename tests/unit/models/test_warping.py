"""From losses to values: order, scale, outliers, and what has no spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.models.recent import Recent
from hpo_pipe.models.schedule import chosen, last_refit
from hpo_pipe.models.warping import WARPINGS, standardised, warped, warped_curves

LOSSES = st.lists(st.integers(-1000, 1000).map(lambda n: n / 64) | st.just(math.inf), min_size=1, max_size=30)


@pytest.mark.parametrize("how", WARPINGS)
@settings(max_examples=40, deadline=None)
@given(LOSSES)
def test_order_is_kept_and_failures_are_worst(how, losses):
    losses = np.array(losses)
    values = warped(losses, how)
    assert np.isfinite(values).all()
    order = np.argsort(losses, kind="stable")
    assert (np.diff(values[order]) >= -1e-9).all()
    assert abs(values.mean()) < 1e-6 and (values.std() == pytest.approx(1.0) or not values.any())


@pytest.mark.parametrize("how", ["log", "winsorize", "none"])
@settings(max_examples=40, deadline=None)
@given(LOSSES)
def test_unit_and_zero_do_not_matter(how, losses):
    losses = np.array(losses)
    assert np.array_equal(warped(losses, how), warped(4.0 * losses + 0.5, how))


@settings(max_examples=40, deadline=None)
@given(st.lists(LOSSES, min_size=1, max_size=6))
def test_curves_keep_their_order_and_their_holes(rows):
    curves = np.full((len(rows), 30), np.nan)
    for i, row in enumerate(rows):
        curves[i, : len(row)] = row
    values = warped_curves(curves)
    there = ~np.isnan(values)
    assert not (there & np.isnan(curves)).any()
    order = np.argsort(curves[there], kind="stable")
    assert (np.diff(values[there][order]) >= -1e-9).all()
    for i in range(len(rows)):  # a curve ends with its first value that is not finite
        bad = np.flatnonzero(np.isinf(curves[i]))
        assert not there[i, bad[0] + 1 :].any() if len(bad) else there[i].sum() == len(rows[i])
    assert np.array_equal(values, warped_curves(4.0 * curves + 0.5), equal_nan=True)


def test_the_incumbent_is_no_outlier_and_better_values_can_be_told():
    """15.12: with a small floor under the logarithm the incumbent is, and no candidate can be expected to beat it."""
    losses = 1.0 + 0.1 * np.random.Generator(np.random.PCG64(0)).random(200)
    assert warped(losses).min() > -2.5
    assert standardised(np.log((losses - losses.min()) / np.median(losses - losses.min()) + 1e-3)).min() < -5


def test_divergence_does_not_squeeze_the_rest():
    losses = np.array([0.1, 0.2, 0.3, 0.4, 1e12])
    assert warped(losses)[3] - warped(losses)[0] > 0.5
    assert warped(losses, "none")[3] - warped(losses, "none")[0] < 1e-6


@pytest.mark.parametrize("losses", [[0.3], [0.3] * 9, [math.inf], [math.inf] * 3, [1e300, 1e300], []])
@pytest.mark.parametrize("how", WARPINGS)
def test_what_has_no_spread_is_zero(losses, how):
    assert not warped(np.array(losses), how).any()


def test_half_of_all_being_the_best_is_no_spread_of_zero():
    values = warped(np.array([0.0, 0.0, 0.0, 1.0, 2.0]))
    assert values[2] < values[3] < values[4]


def test_fits_are_rarer_the_longer_a_study_is():
    fits = [last_refit(n) for n in range(5000)]
    assert all(fit <= n for n, fit in enumerate(fits)) and fits == sorted(fits)
    assert fits[:33] == list(range(33)) and fits[33] == 32 and fits[63] == 62
    assert all(last_refit(fit) == fit for fit in fits)
    assert len({fit for fit in fits if 1024 <= fit < 2048}) == 16


@given(st.integers(1, 300), st.integers(8, 60))
def test_of_many_rows_the_best_and_the_newest_are_kept(n, cap):
    order = np.random.Generator(np.random.PCG64(n)).permutation(n)
    found = chosen(order, cap)
    assert len(found) == min(n, cap) == len(set(found.tolist()))
    assert found.tolist() == sorted(found)
    if n > cap:
        assert set(order[: cap // 2].tolist()) <= set(found.tolist())
        assert n - 1 in found


def test_what_is_kept_is_known_by_its_content():
    made = []
    kept = Recent(2)

    def get(*parts):
        return kept.get(lambda: made.append(parts) or len(made), *parts)

    row = np.array([1.0, np.nan])
    assert get(row, "a") == get(row.copy(), "a") == 1
    assert get(row, "b") == 2 and get(row + 1, "a") == 3
    assert get(row, "a") == 4  # only two are kept
    assert get(np.array([[1.0, np.nan]]), "a") == 5  # a shape is content
