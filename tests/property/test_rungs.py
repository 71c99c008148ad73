"""R1: rung arithmetic is exact, where floor(log) is not; and the brackets' shares."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.rungs import bracket_of, bracket_shares, levels, s_max


@pytest.mark.parametrize("eta", range(2, 11))
@pytest.mark.parametrize("k", range(13))
def test_powers_are_exact(eta, k):
    assert s_max(1, eta**k, eta) == k
    assert s_max(7, 7 * eta**k, eta) == k
    assert levels(1, eta**k, eta) == tuple(eta**i for i in range(k + 1))
    if k:
        assert s_max(1, eta**k - 1, eta) == k - 1


@given(st.integers(1, 1000), st.integers(0, 10**9), st.integers(2, 12))
def test_levels_rise_to_the_maximum(low, more, eta):
    high = low + more
    found = levels(low, high, eta)
    assert found[-1] == high
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(b == a * eta for a, b in itertools.pairwise(found[:-1]))
    assert len(found) == s_max(low, high, eta) + 1 + (low * eta ** s_max(low, high, eta) != high)


def test_the_last_step_may_be_shorter():
    assert levels(1, 52, 3) == (1, 3, 9, 27, 52)


def test_shares_follow_hyperband():
    rungs = levels(1, 81, 3)
    shares = bracket_shares(rungs, 5)
    # eta**(K - s) (K + 1) / (K - s + 1) of arXiv:2003.10865, with K = 4
    weights = [3 ** (4 - s) * 5 / (4 - s + 1) for s in range(5)]
    assert shares == pytest.approx([w / sum(weights) for w in weights])
    assert bracket_shares(rungs, 1) == (1.0,)
    assert len(bracket_shares((1,), 4)) == 1


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 6))
def test_every_draw_has_a_bracket(u, brackets):
    shares = bracket_shares(levels(1, 243, 3), brackets)
    assert 0 <= bracket_of(u, shares) < brackets


def test_draws_meet_the_shares():
    shares = bracket_shares(levels(1, 27, 3), 4)
    drawn = [bracket_of((i + 0.5) / 10000, shares) for i in range(10000)]
    for bracket, share in enumerate(shares):
        assert drawn.count(bracket) / 10000 == pytest.approx(share, abs=1e-3)
