"""Hyper-Tune's ensemble of rungs: how far each rung's ranking can be believed (Li et al. 2022, arXiv:2201.06834).

Every rung has a model of its own. A rung's weight is how often its model ranks the configurations of the reference
rung, the highest one with enough values, with fewest pairs in the wrong order. The reference rung's own model
is judged on values that it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.distances import Distances
from hpo_pipe.models.gaussian_process import GaussianProcess, Hyperparameters, cholesky

Floats = NDArray[np.float64]

SAMPLES = 50
FOLDS = 5
ENOUGH = 6
"""Values that the reference rung must have."""
NEGLIGIBLE = 0.01


def shares(sampled: Sequence[Floats], observed: Floats) -> Floats:
    """Return each model's weight: at least 0, the sum 1, shape (models,).

    Args:
        sampled: of each model, draws of the values at the same n configurations, shape (draws, n).
        observed: their values, shape (n,).
    """
    losses = np.stack([discordant(draws, observed) for draws in sampled])
    best = np.round(losses, 9) == np.round(losses.min(axis=0), 9)
    weights = best.mean(axis=1)
    weights = weights / weights.sum()
    weights = np.where(weights > NEGLIGIBLE, weights, 0.0)
    found: Floats = weights / weights.sum()
    return found


def brackets(
    rungs: Sequence[int], weights: Sequence[float], resources: Sequence[int], default: Sequence[float]
) -> tuple[float, ...]:
    """Return the probability of each bracket s, which starts at rung s: weight by resource (Hyper-Tune, 4.2).

    The brackets of rungs without a model keep the mass that `default` gives them. So do all where the rungs that a
    trial may start at count for nothing.

    Args:
        rungs: those that have a model, rising.
        weights: of each of them.
        resources: of all rungs.
        default: probabilities of all brackets without any evidence, as many as there may be brackets.
    """
    found = list(default)
    raw = {s: w / resources[s] for s, w in zip(rungs, weights, strict=True) if s < len(found)}
    whole, mass = sum(raw.values()), sum(found[s] for s in raw)
    if whole > 0.0:
        for bracket, value in raw.items():
            found[bracket] = mass * (value / whole)
    return tuple(found)


def draws(mean: Floats, covariance: Floats, rng: np.random.Generator, count: int = SAMPLES) -> Floats:
    """Return draws of a normal vector, shape (count, n)."""
    from scipy.special import ndtri

    normal = ndtri(np.clip(rng.random((count, len(mean))), 1e-12, 1.0 - 1e-12))
    found: Floats = mean + normal @ cholesky(covariance).T
    return found


def held_out_draws(
    distances: Distances,
    hyperparameters: Hyperparameters,
    rows: Floats,
    values: Floats,
    rng: np.random.Generator,
    count: int = SAMPLES,
) -> Floats:
    """Return draws of each value from a model that was not shown it, shape (count, n).

    By cross-validation in min(5, n // 2) folds, each of every so-manieth row.
    """
    n = len(rows)
    folds = max(min(FOLDS, n // 2), 2)
    found = np.empty((count, n))
    for fold in range(folds):
        out = np.arange(n) % folds == fold
        model = GaussianProcess(distances, hyperparameters, rows[~out], values[~out])
        found[:, out] = draws(*model.joint(rows[out]), rng, count)
    return found


def combined(means: Sequence[Floats], deviations: Sequence[Floats], weights: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the weighted sum of independent predictions, each shape (m,)."""
    mean = sum((w * m for w, m in zip(weights, means, strict=True)), np.zeros_like(means[0]))
    variance = sum((w * w * s * s for w, s in zip(weights, deviations, strict=True)), np.zeros_like(mean))
    return mean, np.sqrt(variance)


def discordant(sampled: Floats, observed: Floats) -> Floats:
    """Return the share of pairs that each draw orders otherwise than the observed values, shape (draws,)."""
    first, second = np.triu_indices(len(observed), 1)
    truth = np.sign(observed[first] - observed[second])
    counts = truth != 0
    if not counts.any():
        return np.zeros(len(sampled))
    found = np.sign(sampled[:, first[counts]] - sampled[:, second[counts]]) != truth[counts]
    shares: Floats = found.mean(axis=1)
    return shares
