"""Families of learning curves: their formulas, what they foretell together, and what they survive."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hpo_pipe.models import curve_ensemble
from hpo_pipe.models.curve_ensemble import plateau, predict
from hpo_pipe.models.curve_families import FAMILIES, fit
from hpo_pipe.models.recent import Recent

TOP = 81
SEEN = np.arange(1.0, 31.0)
PAPER = {  # the formulas of the paper's table, in its own letters, at its start values
    "pow3": lambda x: 0.84 - 0.52 * x**-0.01,
    "exp3": lambda x: 0.7 - np.exp(-0.8 * x + 0.3),
    "mmf": lambda x: 0.7 - (0.7 - 0.1) / (1.0 + (math.exp(-4.61) * x) ** 5.0),
    "janoschek": lambda x: 0.73 - (0.73 - 0.07) * np.exp(-math.exp(-1.04) * x**0.46),
    "hill": lambda x: 0.772 * x**0.586 / (math.exp(0.9) ** 0.586 + x**0.586),
    "ilog2": lambda x: 0.78 - 0.43 / np.log(x + 1.0),
    "log_power": lambda x: 0.77 / (1.0 + (x / math.exp(2.98)) ** -0.51),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_formulas_are_those_of_the_paper(name):
    found = FAMILIES[name].value(np.array(FAMILIES[name].starts[0]), SEEN)
    assert found == pytest.approx(PAPER[name](SEEN), rel=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_slopes_are_those_of_finite_differences(name):
    family = FAMILIES[name]
    for start in map(np.array, family.starts):
        for place, slope in enumerate(family.slopes(start, SEEN)):
            step = 1e-6 * np.eye(len(start))[place]
            numeric = (family.value(start + step, SEEN) - family.value(start - step, SEEN)) / 2e-6
            assert np.broadcast_to(slope, SEEN.shape) == pytest.approx(numeric, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_curve_of_a_family_falls(name):
    family, rng = FAMILIES[name], np.random.Generator(np.random.PCG64(0))
    low, high = np.array(family.bounds).T
    assert len(family.starts) == 3
    for start in family.starts:
        assert ((low <= start) & (start <= high)).all()
    for _ in range(200):
        drawn = low + rng.random(len(low)) * (high - low)
        with np.errstate(over="ignore"):
            assert (np.diff(family.value(drawn, SEEN)) >= -1e-12).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_finds_itself_in_an_exact_curve(name):
    curves = {"pow3": (0.9, 0.8, 0.7), "exp3": (0.8, 0.1, -0.4), "mmf": (0.9, 0.7, -2.0, 1.5)}
    curves |= {"janoschek": (0.8, 0.7, -2.0, 0.8), "hill": (1.0, 0.9, 1.5), "ilog2": (1.0, 0.5)}
    curves |= {"log_power": (0.9, 1.2, -1.3)}
    family = FAMILIES[name]
    found = fit(family, SEEN, family.value(np.array(curves[name]), SEEN))
    true = float(family.value(np.array(curves[name]), np.array([float(TOP)]))[0])
    mean, variance = found.at(TOP)
    assert mean == pytest.approx(true, abs=2e-3) and 0.0 < variance < 1e-3


@pytest.mark.parametrize("rate", [0.3, 0.6, 1.2])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_a_power_law_is_told_from_a_target_on_either_side(rate, noise):
    """C1."""
    rng = np.random.Generator(np.random.PCG64(3))
    curve = 0.9 - 0.8 * SEEN**-rate + noise * (2.0 * rng.random(len(SEEN)) - 1.0)
    found, end = predict(SEEN, curve, TOP), 0.9 - 0.8 * TOP**-rate
    assert abs(found.mean - end) < 0.02 + 10 * noise
    assert found.exceeds(end + 0.15) < 0.05 < 0.95 < found.exceeds(end - 0.15)
    assert set(found.fitted) == set(FAMILIES) and not found.failed


def test_families_are_weighed_by_their_criteria_and_variances_add_up():
    """sum w (sigma_k^2 + (f_k - f)^2) + the residuals' variance (1 + log(R / n)), w by exp(-BIC / 2)."""
    rng = np.random.Generator(np.random.PCG64(3))
    curve = 0.9 - 0.8 * SEEN**-0.6 + 0.05 * rng.random(len(SEEN))
    fits = [fit(family, SEEN, curve) for family in FAMILIES.values()]
    weights = np.exp([-0.5 * found.criterion for found in fits])
    weights /= weights.sum()
    means, variances = np.array([found.at(TOP) for found in fits]).T
    mean, residual = weights @ means, weights @ [found.residual for found in fits]
    variance = weights @ (variances + (means - mean) ** 2) + residual * (1.0 + math.log(TOP / 30))
    found = predict(SEEN, curve, TOP)
    assert (found.mean, found.deviation) == pytest.approx((mean, math.sqrt(variance)), rel=1e-9)
    assert max(weights) < 0.97 and found.exceeds(mean + 1.6449 * found.deviation) == pytest.approx(
        0.05, abs=1e-4
    )


def test_the_further_ahead_the_less_is_known():
    rng = np.random.Generator(np.random.PCG64(3))
    curve = 0.9 - 0.8 * SEEN**-0.6 + 0.02 * rng.random(len(SEEN))
    spread = [predict(SEEN, curve, top).deviation for top in (31, 60, 120)]
    assert spread == sorted(spread) and spread[0] > 0.0
    shorter = [predict(SEEN[:n], curve[:n], TOP).deviation for n in (8, 30)]
    assert shorter[0] > shorter[1]


@pytest.mark.parametrize("count", range(1, 5))
def test_short_curves_say_nothing(count):
    """C2."""
    assert predict(SEEN[:count], 0.9 - 0.8 / SEEN[:count], TOP) is None
    assert predict(SEEN[:5], 0.9 - 0.8 / SEEN[:5], TOP) is not None


def _raises(parameters, x):
    raise np.linalg.LinAlgError("made up")


def test_a_family_that_fails_is_named_and_left_out(monkeypatch):
    """C3."""
    curve = 0.9 - 0.8 / SEEN
    monkeypatch.setitem(FAMILIES, "broken", replace(FAMILIES["pow3"], value=_raises))
    monkeypatch.setitem(
        FAMILIES, "empty", replace(FAMILIES["pow3"], value=lambda p, x: np.full_like(x, np.nan))
    )
    found = predict(SEEN, curve, TOP)
    assert set(found.failed) == {"broken", "empty"} and "pow3" in found.fitted
    for name in list(FAMILIES):
        monkeypatch.setitem(FAMILIES, name, replace(FAMILIES["pow3"], value=_raises))
    monkeypatch.setitem(FAMILIES, "one more", FAMILIES["broken"])
    assert predict(SEEN, curve, TOP) is None


def test_nothing_of_one_curve_stays_for_the_next(monkeypatch):
    """12.14: where a fit failed, NNI went on with the parameters of whatever trial had been fitted before."""
    monkeypatch.setattr(curve_ensemble, "_RECENT", Recent(1))
    curve, other = 0.9 - 0.8 / SEEN, 0.2 - 0.1 / SEEN
    alone = predict(SEEN, curve, TOP)
    with monkeypatch.context() as broken:
        broken.setitem(FAMILIES, "pow3", replace(FAMILIES["pow3"], value=_raises))
        assert predict(SEEN, other, TOP).failed == ("pow3",)
    assert predict(SEEN, other, TOP).mean < 0.3
    assert predict(SEEN, curve, TOP) == alone


def test_a_plateau_at_the_beginning_is_dropped():
    """Up to the first value whose next five are all more than 0.05 above the first."""
    assert plateau(np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])) == 0
    assert plateau(np.array([0.1] * 7 + [0.16, 0.2, 0.3, 0.3, 0.3])) == 6
    assert plateau(np.array([0.1] * 7 + [0.16, 0.2, 0.12, 0.3, 0.3, 0.3, 0.3, 0.3])) == 9
    assert plateau(np.array([0.1] * 30)) == 0 == plateau(np.array([0.1]))
    late = np.concatenate([np.full(10, 0.1), 0.9 - 0.8 * np.arange(1.0, 21.0) ** -0.5])
    true = 0.9 - 0.8 * (TOP - 10.0) ** -0.5
    assert predict(SEEN, late, TOP).mean == pytest.approx(true, abs=0.03)
    assert predict(SEEN, late, TOP).stretch == (TOP - 10) / 20


@pytest.mark.parametrize(
    "curve",
    [
        np.zeros(30),
        np.full(30, -1e300),
        np.full(30, 1e300),
        np.where(SEEN == 12, 1e9, 0.5),
        1.0 - SEEN / 30,
        np.where(SEEN % 2 == 0, -1.0, 1.5),
    ],
    ids=["flat", "far below", "far above", "spike", "falling", "jumping"],
)
def test_odd_curves_are_survived(curve):
    found = predict(SEEN, curve, TOP)
    assert found is None or (math.isfinite(found.mean) and found.deviation > 0.0)


def test_a_curve_that_stays_where_it_begins_is_not_expected_to_rise():
    assert predict(SEEN, np.full(30, 0.02), TOP).exceeds(0.8) < 0.05


def test_a_spike_counts_little():
    curve = 0.9 - 0.8 * SEEN**-0.6
    spiked = np.where(SEEN == 15, -1.0, curve)
    assert predict(SEEN, spiked, TOP).mean == pytest.approx(predict(SEEN, curve, TOP).mean, abs=0.05)


def test_the_unit_of_long_resources_does_not_matter():
    """Half a million steps are fitted as three hundred epochs would be."""
    steps = np.arange(1.0, 31.0) * 1000
    found = predict(steps, 0.9 - 0.8 * (1.0 + steps / 1000) ** -0.6, 81_000)
    assert found.mean == pytest.approx(0.9 - 0.8 * 82.0**-0.6, abs=0.03)
    assert len(found.fitted) == len(FAMILIES)
