"""CMA-ES: the covariance matrix adaptation evolution strategy (Hansen 2016, arXiv:1604.00772), as a pure update.

Numbers and ordered values are searched in the unit cube; a value of which there are k has at least half a cell of
deviation, so that it does not get stuck (in the spirit of Hamano et al. 2022, arXiv:2205.13482). Each category has a
distribution of its own that moves towards the better half's frequencies (as in CatCMA, Hamano et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.dimensions import Dimensions

Floats = NDArray[np.float64]

FIRST_STEP = 0.3
COLLAPSED = 1e-5
"""Below this greatest deviation, the search starts anew elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """What a generation is drawn from. Over all d dimensions; those of categories stay where they are."""

    mean: Floats
    step: float
    covariance: Floats
    path: Floats
    """p_c."""
    step_path: Floats
    """p_sigma."""
    categories: tuple[Floats, ...]
    """Probabilities of each category's values."""
    generation: int = 0

    @classmethod
    def first(cls, dimensions: Dimensions, mean: Floats | None = None, generation: int = 0) -> Distribution:
        """Return the distribution around `mean`, shape (d,), or the middle."""
        d = len(dimensions)
        levels = [n for n, category in zip(dimensions.levels, dimensions.categories, strict=True) if category]
        return cls(
            np.full(d, 0.5) if mean is None else mean,
            FIRST_STEP,
            np.eye(d),
            np.zeros(d),
            np.zeros(d),
            tuple(np.full(n, 1.0 / n) for n in levels),
            generation,
        )

    def draw(self, dimensions: Dimensions, rng: np.random.Generator) -> Floats:
        """Return one configuration, shape (d,), in the unit cube."""
        from scipy.special import ndtri

        d = len(self.mean)
        values, vectors = _eigen(self.covariance)
        normal = ndtri(np.clip(rng.random(d), 1e-12, 1.0 - 1e-12))
        move = self.step * (
            vectors @ (np.sqrt(values) * (vectors.T @ normal))
        )  # no sign of an eigenvector shows
        deviations = self.step * np.sqrt(np.diagonal(self.covariance))
        move *= np.maximum(1.0, 0.5 * dimensions.steps / np.maximum(deviations, 1e-300))
        found = np.clip(self.mean + move, 0.0, 1.0)
        u = rng.random(d)
        for j, probabilities in zip(np.flatnonzero(dimensions.unordered), self.categories, strict=True):
            value = min(
                int(np.searchsorted(np.cumsum(probabilities), u[j], side="right")), len(probabilities) - 1
            )
            found[j] = (value + 0.5) / len(probabilities)
        return np.asarray(found, dtype=np.float64)


def population_size(d: int) -> int:
    """Return 4 + floor(3 ln d)."""
    return 4 + int(3.0 * math.log(max(d, 1)))


def updated(
    before: Distribution, rows: Floats, dimensions: Dimensions, restart: Floats | None = None
) -> Distribution:
    """Return the distribution after one generation.

    Args:
        before: the distribution before.
        rows: the generation, best first, shape (n, d), without NaN. It may have been drawn from an earlier
            distribution; steps that are too long for this one are cut (Hansen 2011, arXiv:1110.4181).
        dimensions: of the space.
        restart: where to begin anew once the search has collapsed, shape (d,).
    """
    n = len(rows)
    active = ~dimensions.unordered
    count = max(n // 2, 1)
    weights = math.log((n + 1) / 2.0) - np.log(np.arange(1, count + 1)) if n > 1 else np.ones(1)
    weights /= weights.sum()
    mass = 1.0 / float(np.square(weights).sum())
    dim = max(int(active.sum()), 1)
    cs = (mass + 2) / (dim + mass + 5)
    cc = (4 + mass / dim) / (dim + 4 + 2 * mass / dim)
    c1 = 2 / ((dim + 1.3) ** 2 + mass)
    cmu = min(1 - c1, 2 * (mass - 2 + 1 / mass) / ((dim + 2) ** 2 + mass))
    damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (dim + 1)) - 1) + cs
    usual = math.sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim * dim))

    values, vectors = _eigen(before.covariance)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    moves = np.where(active, rows[:count] - before.mean, 0.0) / before.step
    lengths = np.linalg.norm(moves @ root.T, axis=1)
    longest = math.sqrt(dim) + 2.0 * dim / (dim + 2.0)
    moves *= np.minimum(1.0, longest / np.maximum(lengths, 1e-300))[:, None]
    shift = weights @ moves
    step_path = (1 - cs) * before.step_path + math.sqrt(cs * (2 - cs) * mass) * (root @ shift)
    length = float(np.linalg.norm(step_path))
    elapsed = 1 - (1 - cs) ** (2 * (before.generation + 1))
    rising = float(length / math.sqrt(elapsed) < (1.4 + 2 / (dim + 1)) * usual)
    path = (1 - cc) * before.path + rising * math.sqrt(cc * (2 - cc) * mass) * shift
    covariance = (1 - c1 - cmu + (1 - rising) * c1 * cc * (2 - cc)) * before.covariance
    covariance = covariance + c1 * np.outer(path, path) + cmu * (moves.T * weights) @ moves
    step = before.step * math.exp(min(1.0, cs / damping * (length / usual - 1)))
    found = Distribution(
        np.clip(before.mean + before.step * shift, 0.0, 1.0),
        min(step, 1.0),
        (covariance + covariance.T) / 2,
        path,
        step_path,
        _categories(before, rows[:count], weights, dimensions),
        before.generation + 1,
    )
    spread = found.step * float(np.sqrt(np.diagonal(found.covariance)[active]).max(initial=0.0))
    if restart is not None and active.any() and spread < COLLAPSED:
        return Distribution.first(dimensions, restart, 0)
    return found


def _categories(
    before: Distribution, rows: Floats, weights: Floats, dimensions: Dimensions
) -> tuple[Floats, ...]:
    """Return the categories' distributions, moved towards the frequencies of the better half; none dies out."""
    found = []
    for j, old in zip(np.flatnonzero(dimensions.unordered), before.categories, strict=True):
        levels = len(old)
        codes = np.minimum((rows[:, j] * levels).astype(np.int64), levels - 1)
        rate = 1.0 / (1.0 + levels)
        moved = (1 - rate) * old + rate * np.bincount(codes, weights, levels)
        moved = np.maximum(moved, 0.1 / levels)
        found.append(moved / moved.sum())
    return tuple(found)


def _eigen(covariance: Floats) -> tuple[Floats, Floats]:
    values, vectors = np.linalg.eigh(covariance)
    return np.maximum(values, 1e-20), vectors
