"""Expected improvement in log space, and the search for where it is greatest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Rows of the unit cube, shape (m, d), to what each is worth, shape (m,)."""

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_HALF_LOG_HALF_PI = 0.5 * math.log(math.pi / 2.0)
_FAR = -100.0
"""Below, the asymptotic series is exact to the last digits, and the difference of two near ones is not."""

SPREAD, LOCAL, PARENTS = 300, 300, 8
"""Candidates over the whole space, near the best known ones, and how many of those."""
ROUNDS = (0.06, 0.03, 0.015)
"""Standard deviations of the rounds of refinement."""
CHILDREN = 12
"""Perturbations of each of the best :data:`PARENTS` candidates in a round."""
RANKED = 24
"""How many of the best candidates are handed back: the first may have been tried already."""


def log_h(z: Floats) -> Floats:
    """Return ln(phi(z) + z Phi(z)) for any finite z, shape as given (after Ament et al. 2023, arXiv:2310.20708)."""
    from scipy.special import erfcx, ndtr

    z = np.asarray(z, dtype=np.float64)
    found = np.empty_like(z)
    near, far = z > -1.0, z < _FAR
    between = ~near & ~far
    x = z[near]
    found[near] = np.log(np.exp(-0.5 * x * x - _HALF_LOG_2PI) + x * ndtr(x))
    x = z[between]
    tail = np.log(erfcx(x / -math.sqrt(2.0)) * -x) + _HALF_LOG_HALF_PI
    found[between] = -0.5 * x * x - _HALF_LOG_2PI + _log1mexp(tail)
    x = z[far]
    small = 1.0 / (x * x)
    series = small * (-3.0 + small * (15.0 + small * (-105.0 + 945.0 * small)))
    found[far] = -0.5 * x * x - _HALF_LOG_2PI - 2.0 * np.log(-x) + np.log1p(series)
    return found


def _log1mexp(x: Floats) -> Floats:
    """Return ln(1 - exp(x)) for x < 0."""
    x = np.minimum(x, -1e-300)
    return np.where(x > -math.log(2.0), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def log_ei(mean: Floats, deviation: Floats, target: float) -> Floats:
    """Return the logarithm of the expected improvement below `target` of normal variables, shape (m,)."""
    return log_h((target - mean) / deviation) + np.log(deviation)


def log_augmented_ei(mean: Floats, deviation: Floats, target: float, noise: float) -> Floats:
    """Return the logarithm of the augmented expected improvement, shape (m,).

    Expected improvement times ``1 - sqrt(noise / (deviation^2 + noise))`` (Huang et al. 2006, "Global optimization of
    stochastic black-box systems via sequential kriging meta-models", equation 9): a place that is known as well as
    one more noisy value could tell is worth nothing, however good it is.

    Args:
        mean: of the function, shape (m,).
        deviation: of the function, without noise, shape (m,).
        target: what is to be improved on.
        noise: variance of a value about the function, positive.
    """
    known = np.sqrt(noise / (np.square(deviation) + noise))
    return log_ei(mean, deviation, target) + np.log(np.maximum(1.0 - known, 1e-12))


def best_first(scores: Floats) -> NDArray[np.intp]:
    """Return the places of scores, greatest first.

    Differences of 1e-9, which machines do not agree on, count for nothing; ties go to the smaller place.
    """
    return np.argsort(-np.round(scores, 9), kind="stable")


class Searched(Protocol):
    """What a search for candidates must know of a space."""

    def snap(self, rows: Floats) -> Floats:
        """Return what rows decode to, inactive entries NaN."""
        ...

    def permitted(self, rows: Floats) -> NDArray[np.bool_]:
        """Return which rows are not forbidden."""
        ...


def search(
    space: Searched,
    levels: tuple[int, ...],
    categories: tuple[bool, ...],
    rng: np.random.Generator,
    best: Floats,
    score: Score,
    spread: int = SPREAD,
    local: int = LOCAL,
) -> tuple[Floats, Floats]:
    """Return the candidates that a score likes best, greatest first: rows, shape (m, d), and scores, shape (m,).

    Uniform rows and rows near the best known ones are scored, then perturbations of the best candidates in three
    rounds of shrinking size. Every row is scored at what it decodes to. None is returned where all are forbidden.

    Args:
        space: says what rows decode to, and which are forbidden.
        levels: values of each dimension, 0: continuous; shape (d,).
        categories: which dimensions have no order; shape (d,).
        rng: of this suggestion.
        best: the best known configurations, shape (k, d); NaN: inactive.
        score: what a row is worth.
        spread: how many uniform rows.
        local: how many near the best.
    """
    d = len(levels)
    steps = np.array([1.0 / count if count else 0.0 for count in levels])
    unordered = np.array(categories, dtype=bool)
    rows = [rng.random((spread, d))]
    if len(best):
        parents = best[np.arange(local) % min(len(best), PARENTS)]
        rows.append(perturbed(parents, rng, 0.5, 0.1, steps, unordered))
    found = _kept(space, np.vstack(rows))
    for _ in range(3):
        if len(found) >= PARENTS:
            break
        found = np.vstack([found, _kept(space, rng.random((spread, d)))])
    scores = score(found) if len(found) else np.empty(0)
    for sd in ROUNDS:
        if not len(found):
            break
        top = best_first(scores)[:PARENTS]
        children = perturbed(np.repeat(found[top], CHILDREN, axis=0), rng, 0.4, sd, steps, unordered)
        children = _kept(space, children)
        found = np.vstack([found, children])
        scores = np.concatenate([scores, score(children)]) if len(children) else scores
    order = best_first(scores)[: 4 * RANKED]
    return _distinct(found[order], scores[order])


def perturbed(
    rows: Floats,
    rng: np.random.Generator,
    share: float,
    sd: float,
    steps: Floats,
    categories: NDArray[np.bool_],
) -> Floats:
    """Return rows of which each entry was changed with probability `share`, at least one of each row.

    Numbers move by a normal of deviation `sd`, reflected at the borders; ordered values at least by a step;
    categories are drawn anew, and so are the entries of inactive parameters, which the change may bring to life.

    Args:
        rows: shape (m, d).
        rng: draws.
        share: probability of a change.
        sd: of a change.
        steps: the width of a value's cell in each dimension, 0: continuous; shape (d,).
        categories: which dimensions have no order; shape (d,).
    """
    from scipy.special import ndtri

    m, d = rows.shape
    change = rng.random((m, d)) < share
    forced = rng.integers(0, d, m)
    change[np.arange(m), forced] = True
    fresh = rng.random((m, d))
    move = sd * ndtri(np.clip(rng.random((m, d)), 1e-12, 1.0 - 1e-12))
    discrete = (steps > 0) & (np.abs(move) < steps)
    move = np.where(discrete, np.where(move < 0, -steps, steps), move)
    moved = 1.0 - np.abs(1.0 - np.abs(rows + move) % 2.0)
    changed = np.where(categories, fresh, moved)
    found = np.where(change, changed, rows)
    return np.where(np.isnan(found), fresh, found)


def _kept(space: Searched, rows: Floats) -> Floats:
    snapped = space.snap(rows)
    return snapped[space.permitted(snapped)]


def _distinct(rows: Floats, scores: Floats) -> tuple[Floats, Floats]:
    seen: dict[bytes, int] = {}
    for place in range(len(rows)):
        seen.setdefault((rows[place] + 0.0).tobytes(), place)
        if len(seen) == RANKED:
            break
    places = list(seen.values())
    return rows[places], scores[places]
