"""Rung arithmetic, in integers only.

``floor(log(R / r) / log(eta))`` loses a rung at 243 and 1000 in floating point; the most common bug of the field.
"""

from __future__ import annotations


def s_max(low: int, high: int, eta: int) -> int:
    """Return the largest k with ``low * eta**k <= high``."""
    k, level = 0, low * eta
    while level <= high:
        k, level = k + 1, level * eta
    return k


def levels(low: int, high: int, eta: int) -> tuple[int, ...]:
    """Return the resource levels at which trials are compared: ``low * eta**k`` below `high`, and `high`.

    Counted from the bottom, strictly increasing. Where `high` is not ``low * eta**k``, the last step is shorter.
    """
    found = []
    level = low
    while level < high:
        found.append(level)
        level *= eta
    return (*found, high)


LADDER_RATIO = 1.37
"""Eight steps to a factor of twelve: enough to see a curve's shape."""


def ladder(high: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
    """Return the resources at which models look at curves: a ratio of about 1.37 apart, the rungs among them."""
    found, level = set(rungs), 1.0
    while level < high:
        found.add(round(level))
        level *= LADDER_RATIO
    return tuple(sorted(step for step in found | {high} if step <= high))


def bracket_shares(rungs: tuple[int, ...], brackets: int) -> tuple[float, ...]:
    """Return the probability of each bracket s: a trial of bracket s starts at ``rungs[s]``.

    Proportional to ``(K + 1) / ((K + 1 - s) * rungs[s])`` with K + 1 rungs, which shares out the resource as
    Hyperband does (Li et al. 2018, Algorithm 1; in this form in Klein et al. 2020, arXiv:2003.10865).
    """
    count = min(brackets, len(rungs))
    weights = [len(rungs) / ((len(rungs) - s) * rungs[s]) for s in range(count)]
    return tuple(weight / sum(weights) for weight in weights)


def bracket_of(u: float, shares: tuple[float, ...]) -> int:
    """Return the bracket of a uniform draw `u` in [0, 1)."""
    for bracket, share in enumerate(shares):
        if u < share:
            return bracket
        u -= share
    return len(shares) - 1
