"""Means over tasks with their errors, and differences of pairs with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 4000
INTERVAL = (2.5, 97.5)

Values = Mapping[str, Mapping[int, float]]
"""One value for each seed of each task."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks, each counted alike, and its standard error from seed to seed; NaN with one seed."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Values) -> Mean:
        """Return it; the tasks are those asked about, the seeds a sample."""
        found = [np.array(list(seeds.values())) for seeds in values.values()]
        mean = float(np.mean([np.mean(each) for each in found]))
        if any(len(each) < 2 for each in found):
            return cls(mean, math.nan)
        variance = sum(float(each.var(ddof=1)) / len(each) for each in found)
        return cls(mean, math.sqrt(variance) / len(found))


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over pairs of the same task and seed, with a 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    share: float
    """The mean difference over the other's mean."""
    pairs: int


def paired(one: Values, other: Values) -> Difference | None:
    """Return `one` less `other`; None where they have no pair.

    The bootstrap draws tasks, and within each task drawn its pairs: pairs of one task are alike, and another study's
    tasks would be others.
    """
    pairs = {
        task: [(one[task][seed], other[task][seed]) for seed in sorted(set(one[task]) & set(other[task]))]
        for task in one
        if task in other
    }
    found = [np.array(each) for each in pairs.values() if each]
    if not found:
        return None
    differences = [each[:, 0] - each[:, 1] for each in found]
    mean = float(np.mean([each.mean() for each in differences]))
    base = float(np.mean([each[:, 1].mean() for each in found]))
    low, high = np.percentile(_resampled(differences), INTERVAL).tolist()
    share = mean / base if base else math.nan
    return Difference(mean, low, high, share, sum(len(each) for each in found))


def _resampled(clusters: Sequence[Floats]) -> Floats:
    """Return means of clusters drawn with all in them drawn anew, shape (DRAWS,)."""
    rng = np.random.default_rng(0)
    counts = np.array([len(each) for each in clusters])
    most = int(counts.max())
    padded = np.zeros((len(clusters), most))
    for place, each in enumerate(clusters):
        padded[place, : len(each)] = each
    drawn = rng.integers(len(clusters), size=(DRAWS, len(clusters)))
    within = (rng.random((DRAWS, len(clusters), most)) * counts[drawn][:, :, None]).astype(np.int64)
    values = np.where(np.arange(most) < counts[drawn][:, :, None], padded[drawn[:, :, None], within], 0.0)
    means: Floats = (values.sum(axis=2) / counts[drawn]).mean(axis=1)
    return means


def first_below(
    curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]], start: float, goal: float
) -> float:
    """Return when the mean of falling step functions is at most `goal` for the first time, infinity if never.

    Args:
        curves: of each task those of its seeds: (time, value from then on), times rising.
        start: the value of each before its first step.
        goal: the value that is waited for.
    """
    events: list[tuple[float, float]] = []
    for seeds in curves.values():
        weight = 1.0 / (len(curves) * len(seeds))
        for steps in seeds:
            before = start
            for time, value in steps:
                events.append((time, weight * (value - before)))
                before = value
    events.sort()
    times = np.array([time for time, _ in events])
    means = start + np.cumsum([change for _, change in events])
    below = np.flatnonzero((means <= goal + 1e-9) & np.append(np.diff(times) > 0, True))
    return float(times[below[0]]) if len(below) else math.inf
