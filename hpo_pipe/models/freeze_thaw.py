"""Freeze-thaw: what unfinished learning curves say about the end (Swersky, Snoek, Adams 2014, arXiv:1406.3896).

``z_i(t) = f(x_i) + b1 (1 - t) + b2 (1 - t)^2 + g_i(t) + noise`` with t = ln(1 + r) / ln(1 + R), so that t = 1 at the
greatest resource. g_i are independent processes with covariance ``s_b (1 - t)(1 - t') + s_w min(1 - t, 1 - t')``: they
vanish at t = 1, where f is the value. Each curve collapses into one pseudo-observation of f, with a noise that says how
much of the curve is still to come; an ordinary Gaussian process regresses on these.

Curves that were observed at the same places are handled together, whatever their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.gaussian_process import cholesky
from hpo_pipe.models.map_fit import rounded

Floats = NDArray[np.float64]

CENTRES = (0.3, 0.05, 0.005)
"""Of the log-normal priors of s_b, s_w and the noise."""
SPREAD = 1.5
_Solved = tuple[Floats, float, float]
TREND_VARIANCE = 4.0
LONGEST = 50
"""Curves that the variances are fitted to."""
EVALUATIONS = 40


@dataclass(frozen=True, slots=True)
class CurveVariances:
    """Of what a curve does beside its end."""

    slope: float = CENTRES[0]
    """s_b: of the distance between a curve's beginning and its end."""
    walk: float = CENTRES[1]
    """s_w: of how it wanders on the way."""
    noise: float = CENTRES[2]

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Return the covariance of g at times a, shape (m,), and b, shape (k,), without noise: shape (m, k)."""
        left, right = 1.0 - a, 1.0 - b
        return self.slope * np.outer(left, right) + self.walk * np.minimum.outer(left, right)


@dataclass(frozen=True, slots=True)
class _Group:
    """Curves that were observed at the same places."""

    members: NDArray[np.intp]
    times: Floats
    values: Floats
    """Shape (members, times)."""
    sum: Floats
    products: Floats
    """Sum over the members of z z': all that the likelihood needs."""

    def solved(self, variances: CurveVariances) -> _Solved:
        """Return V^-1, its sum (the precision of a pseudo-observation), and ln|V|, of the noisy curve."""
        covariance = variances.covariance(self.times, self.times)
        covariance[np.diag_indices_from(covariance)] += variances.noise
        factor = cholesky(covariance)
        root = np.linalg.solve(factor, np.eye(len(factor)))
        inverse = root.T @ root
        return inverse, float(inverse.sum()), 2.0 * float(np.log(np.diagonal(factor)).sum())

    @property
    def trend(self) -> Floats:
        """1 - t and its square, shape (times, 2)."""
        left = 1.0 - self.times
        return np.stack([left, left * left], axis=1)


def times(resources: Sequence[int], top: int) -> Floats:
    """Return t of resources: shape (m,), 1 at `top`."""
    return np.log1p(np.array(resources, dtype=np.float64)) / math.log1p(top)


def fit_variances(curves: Floats, at: Floats) -> CurveVariances:
    """Return the variances of the greatest posterior density, within the longest curves.

    The ends f are flat and the trend integrated out (REML), so that only what happens within a curve counts.

    Args:
        curves: shape (n, m), NaN where nothing was reported.
        at: times of the columns, shape (m,).
    """
    from scipy.optimize import minimize

    lengths = (~np.isnan(curves)).sum(axis=1)
    longest = np.argsort(-lengths, kind="stable")[:LONGEST]
    groups = [group for group in _groups(curves[longest], at) if len(group.times) > 1]
    if not groups:
        return CurveVariances()
    centres = np.log(CENTRES)

    def cost(logarithms: Floats) -> float:
        deviations = (logarithms - centres) / SPREAD
        variances = CurveVariances(*np.exp(np.clip(logarithms, -18.0, 6.0)).tolist())
        return 0.5 * float(deviations @ deviations) - _evidence(groups, variances)

    simplex = np.vstack([centres, centres + 0.8 * np.eye(3)])
    found = minimize(
        cost,
        centres,
        method="Nelder-Mead",
        options={"maxfev": EVALUATIONS, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-3},
    )
    return CurveVariances(*(rounded(math.exp(x)) for x in np.clip(found.x, -18.0, 6.0)))


def pseudo_observations(
    curves: Floats, at: Floats, variances: CurveVariances, trend: tuple[float, float] | None = None
) -> tuple[Floats, Floats]:
    """Return what each curve says about its end: values and the variances of their noise, each shape (n,).

    Args:
        curves: shape (n, m), NaN where nothing was reported; every one has a value.
        at: times of the columns, shape (m,).
        variances: of the curves.
        trend: b1 and b2; without, their posterior mean given all curves.
    """
    groups = list(_groups(curves, at))
    solved = [group.solved(variances) for group in groups]
    slopes = np.array(trend) if trend is not None else _trend(groups, solved)[0]
    values, noises = np.empty(len(curves)), np.empty(len(curves))
    for group, (inverse, precision, _) in zip(groups, solved, strict=True):
        means = (group.values - group.trend @ slopes) @ inverse.sum(axis=0) / precision
        values[group.members], noises[group.members] = means, 1.0 / precision
    return values, noises


def ends(values: Floats, noises: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return the posterior mean and standard deviation of f at configurations with curves, each shape (n,).

    Args:
        values: pseudo-observations, shape (n,).
        noises: their variances, shape (n,).
        prior: covariance of f at the configurations, shape (n, n).
    """
    factor = cholesky(prior + np.diag(noises))
    root = np.linalg.solve(factor, np.eye(len(factor)))
    weights = root.T @ (root @ values)
    variance = noises - noises**2 * np.einsum("ij,ij->j", root, root)
    return values - noises * weights, np.sqrt(np.maximum(variance, 0.0))


def forecast(
    curve: Floats,
    at: Floats,
    then: float,
    variances: CurveVariances,
    trend: tuple[float, float],
    end: tuple[float, float],
) -> tuple[float, float]:
    """Return mean and standard deviation of one curve, without noise, at a later time.

    Args:
        curve: values that were reported, shape (m,).
        at: their times, shape (m,).
        then: the time asked for.
        variances: of the curves.
        trend: b1 and b2.
        end: posterior mean and standard deviation of the curve's end f.
    """
    left = 1.0 - at
    residual = curve - np.stack([left, left * left], axis=1) @ np.array(trend)
    covariance = variances.covariance(at, at) + variances.noise * np.eye(len(at))
    cross = variances.covariance(at, np.array([then]))[:, 0]
    solved = np.linalg.solve(covariance, cross)
    share = 1.0 - float(solved.sum())
    mean = float(solved @ residual) + share * end[0] + trend[0] * (1 - then) + trend[1] * (1 - then) ** 2
    own = float(variances.covariance(np.array([then]), np.array([then]))[0, 0] - cross @ solved)
    return mean, math.sqrt(max(own + (share * end[1]) ** 2, 0.0))


def _groups(curves: Floats, at: Floats) -> Iterator[_Group]:
    there = ~np.isnan(curves)
    patterns, kinds = np.unique(there, axis=0, return_inverse=True)
    kinds = kinds.reshape(-1)
    for kind, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        members = np.flatnonzero(kinds == kind)
        values = curves[np.ix_(members, np.flatnonzero(pattern))]
        yield _Group(members, at[pattern], values, values.sum(axis=0), values.T @ values)


def _trend(groups: list[_Group], solved: list[_Solved]) -> tuple[Floats, float]:
    """Return the posterior mean of the trend, and the logarithm of what integrating it out brings."""
    precision = np.eye(2) / TREND_VARIANCE
    pull = np.zeros(2)
    for group, (inverse, weight, _) in zip(groups, solved, strict=True):
        within = _within(inverse, weight)
        precision += len(group.members) * group.trend.T @ within @ group.trend
        pull += group.trend.T @ within @ group.sum
    mean = np.asarray(np.linalg.solve(precision, pull), dtype=np.float64)
    gain = 0.5 * float(pull @ mean) - 0.5 * float(np.linalg.slogdet(TREND_VARIANCE * precision)[1])
    return mean, gain


def _evidence(groups: list[_Group], variances: CurveVariances) -> float:
    """Return the restricted log likelihood, up to a constant."""
    solved = [group.solved(variances) for group in groups]
    total = _trend(groups, solved)[1]
    for group, (inverse, precision, logarithm) in zip(groups, solved, strict=True):
        total -= 0.5 * float(np.vdot(_within(inverse, precision), group.products))
        total -= 0.5 * len(group.members) * (logarithm + math.log(precision))
    return total


def _within(inverse: Floats, precision: float) -> Floats:
    """Return the precision of a curve once its level is left open."""
    total = inverse.sum(axis=0)
    return inverse - np.outer(total, total) / precision
