"""Laws of priors: densities that integrate to 1, draws that follow them, and nothing where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from hpo_pipe.normal import quantile, share_below
from hpo_pipe.space import Space
from tests.property.random_spaces import spaces

FINE = (np.arange(200_000) + 0.5) / 200_000


@st.composite
def densities(draw):
    """The prior of one parameter of a random space."""
    space, _, _ = draw(spaces())
    priors = [(p, space.priors[p.name]) for p in space.dimensions if p.name in space.priors]
    assume(priors)
    return draw(st.sampled_from(priors))


@settings(max_examples=100, deadline=None)
@given(densities())
def test_a_density_integrates_to_one(found):
    _, prior = found
    assert np.exp(prior.log_density(FINE)).mean() == pytest.approx(1.0, abs=2e-3)


@settings(max_examples=100, deadline=None)
@given(densities(), st.integers(0, 2**32))
def test_draws_follow_the_density(found, seed):
    _, prior = found
    uniform = np.random.Generator(np.random.PCG64(seed)).random(400)
    drawn = prior.quantile(uniform)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    below = np.cumsum(np.exp(prior.log_density(FINE))) / len(FINE)
    assert np.interp(drawn, FINE, below) == pytest.approx(uniform, abs=3e-3)


@settings(max_examples=50, deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_the_space_adds_up_the_active_ones(found, seed):
    space, _, _ = found
    points = np.random.Generator(np.random.PCG64(seed)).random((20, len(space.dimensions)))
    density = space.prior_log_density(points)
    assert (space.activity(points).shape, density.shape) == (points.shape, (20,))
    for point, found_density in zip(points, density, strict=True):
        active = space.decode(point)
        wanted = sum(
            float(space.priors[p.name].log_density(point[c : c + 1])[0])
            for c, p in enumerate(space.dimensions)
            if p.name in active and p.name in space.priors
        )
        assert found_density == pytest.approx(wanted, abs=1e-9)
    blank = np.where(space.activity(points), points, np.nan)
    assert space.prior_log_density(blank) == pytest.approx(density, abs=1e-12)
    drawn = space.from_prior(points)
    known = [c for c, p in enumerate(space.dimensions) if p.name not in space.priors]
    assert (drawn[:, known] == points[:, known]).all()
    assert space.has_priors == bool(space.priors)


def test_keyed_draws_of_a_numbers_prior_are_a_truncated_normal():
    space = Space.from_json(
        [
            {"name": "lr", "type": "float", "min": 1e-5, "max": 1, "log": True, "prior": {"value": 1e-4}},
            {"name": "n", "type": "int", "min": 1, "max": 100, "prior": {"value": 20, "confidence": "high"}},
        ]
    )
    uniform = np.random.Generator(np.random.PCG64(7)).random((2000, 2))
    drawn = space.from_prior(uniform)
    for column, (mean, sd) in enumerate([(0.2, 0.5), (0.195, 0.25)]):
        wanted = stats.truncnorm((0 - mean) / sd, (1 - mean) / sd, mean, sd)
        assert stats.kstest(drawn[:, column], wanted.cdf).pvalue > 0.01
        density = space.priors[("lr", "n")[column]].log_density(FINE)
        assert density == pytest.approx(wanted.logpdf(FINE), abs=1e-9)


@pytest.mark.parametrize(
    ("table", "shares"),
    [
        ({"probabilities": [1, 2, 5]}, [0.125, 0.25, 0.625]),
        ({"prior": {"value": "y", "confidence": "high"}}, [0.125, 0.75, 0.125]),
        ({"prior": {"value": "z"}}, [0.25, 0.25, 0.5]),
        (
            {"prior": {"value": "x", "confidence": "low"}},
            [1 / 3, 1 / 3, 1 / 3],
        ),  # never against the value it names
    ],
)
def test_listed_values_are_drawn_with_their_probabilities(table, shares):
    space = Space.from_json([{"name": "a", "type": "categorical", "values": ["x", "y", "z"], **table}])
    uniform = np.random.Generator(np.random.PCG64(11)).random((3000, 1))
    drawn = [space.decode(point)["a"] for point in space.from_prior(uniform)]
    counts = [drawn.count(value) for value in "xyz"]
    assert stats.chisquare(counts, np.array(shares) * 3000).pvalue > 0.01
    middles = np.array([[1 / 6], [0.5], [5 / 6]])
    assert np.exp(space.prior_log_density(middles)) / 3 == pytest.approx(shares)


def test_an_ordinals_prior_favours_its_neighbours():
    space = Space.from_json(
        [
            {
                "name": "a",
                "type": "ordinal",
                "values": [8, 16, 32, 64],
                "prior": {"value": 16, "confidence": 0.8},
            }
        ]
    )
    density = space.prior_log_density((np.arange(4)[:, None] + 0.5) / 4)
    assert density.argmax() == 1 and density[0] == pytest.approx(density[2]) and density[3] < density[2]


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(0, 10**6))
def test_no_draw_leaves_the_cell_that_it_was_drawn_for(count, seed):
    """Rounding at a cell's border would hand a draw to the neighbour."""
    values = list(range(count))
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = (rng.random(count) + 0.01).tolist()
    space = Space.from_json([{"name": "a", "type": "ordinal", "values": values, "probabilities": weights}])
    assume(space.dimensions)
    starts = np.concatenate([[0.0], np.cumsum(np.array(weights) / math.fsum(weights))[:-1]])
    drawn = space.from_prior(starts[:, None])
    assert [space.decode(point)["a"] for point in drawn] == values


def test_the_normal_quantile_is_that_of_scipy():
    p = np.concatenate([FINE[::40], 10.0 ** -np.arange(1, 300), 1 - 10.0 ** -np.arange(1, 16)])
    assert quantile(p) == pytest.approx(special.ndtri(p), rel=1e-13, abs=1e-14)
    assert quantile(np.array([0.0, 0.5, 1.0])).tolist() == [-math.inf, 0.0, math.inf]
    assert [share_below(z) for z in (-9.0, 0.0, 1.5)] == pytest.approx(
        special.ndtr([-9.0, 0.0, 1.5]), rel=1e-13
    )
