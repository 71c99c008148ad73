"""Non-dominated fronts, an order within a front, and hypervolume. All losses are finite and minimised.

A point dominates another if it is no worse in any loss and better in one. Front 0 is what nobody dominates, front 1
what nobody but front 0 does, and so on; equal points share a front.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SPREAD = 100
"""Members of a front that are put in order one by one."""


class Fronts:
    """Fronts of points that come in one after another: which fronts there are does not depend on the order.

    A new point costs a binary search over the fronts, and moves what it pushes back from front to front (Li, Deb,
    Zhang and Kwong 2017, "Efficient nondomination level update"): O(points) vectorised comparisons.
    """

    def __init__(self, objectives: int) -> None:
        self._empty: Floats = np.empty((0, objectives))
        self._names: list[Integers] = []
        self._points: list[Floats] = []
        self._sorted: list[Integers | None] = []
        self._front_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def extend(self, points: Iterable[tuple[int, tuple[float, ...]]]) -> None:
        """Take in (name, losses) of many points: in the order of their losses, in which none pushes another back."""
        for name, losses in sorted(points, key=lambda point: (point[1], point[0])):
            self.add(name, losses)

    def add(self, name: int, losses: Iterable[float]) -> None:
        """Take in a point; names are all different."""
        names, moved = np.array([name], dtype=np.int64), np.array([tuple(losses)], dtype=np.float64)
        place = self._first_that_does_not_dominate(moved[0])
        while len(names):
            if place == len(self._names):
                self._names.append(np.empty(0, dtype=np.int64))
                self._points.append(self._empty)
                self._sorted.append(None)
            there, points = self._names[place], self._points[place]
            beaten = _dominated(points, moved)
            self._names[place] = np.concatenate([there[~beaten], names])
            self._points[place] = np.vstack([points[~beaten], moved])
            self._sorted[place] = None
            self._front_of.update(dict.fromkeys(names.tolist(), place))
            names, moved, place = there[beaten], points[beaten], place + 1

    def front_of(self, name: int) -> int:
        """Return the front that a point is in."""
        return self._front_of[name]

    def size(self, place: int) -> int:
        """Return how many points are in front `place`."""
        return len(self._names[place])

    def best_first(self, place: int) -> Integers:
        """Return the names in front `place`, in the order of :func:`spread`."""
        found = self._sorted[place]
        if found is None:
            found = self._sorted[place] = self._names[place][spread(self._names[place], self._points[place])]
        return found

    def _first_that_does_not_dominate(self, point: Floats) -> int:
        low, high = 0, len(self._names)
        while low < high:
            middle = (low + high) // 2
            if _dominates_one(self._points[middle], point):
                low = middle + 1
            else:
                high = middle
        return low


def spread(names: Integers, points: Floats) -> NDArray[np.intp]:
    """Return places of a front's members, so that the first k are spread over it, for every k up to 100.

    The epsilon-net of multi-objective ASHA (Schmucker et al. 2021, arXiv:2106.12639; Salinas et al. 2021): first the
    best in the first loss, then always the one that is furthest from all before it, in losses divided by the front's
    range. Beyond :data:`SPREAD` the rest follows by its distance to those. Ties go to the smaller name.

    Args:
        names: shape (n,).
        points: losses, shape (n, m).
    """
    by_name = np.argsort(names, kind="stable")
    points = points[by_name] / 2.0  # so that the range of finite numbers is finite
    range_ = points.max(axis=0) - points.min(axis=0)
    points = (points - points.min(axis=0)) / np.where(range_ > 0.0, range_, 1.0)
    first = int(np.lexsort(points.T[::-1])[0])
    order = [first]
    apart = _apart(points, first)
    apart[first] = -1.0
    while len(order) < min(len(points), SPREAD):
        following = int(np.argmax(apart))
        order.append(following)
        apart = np.minimum(apart, _apart(points, following))
        apart[following] = -1.0
    rest = np.argsort(-apart, kind="stable")[: len(points) - len(order)]
    found: NDArray[np.intp] = by_name[np.concatenate([np.array(order, dtype=np.intp), rest])]
    return found


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Tell which points, shape (n, m), no other one dominates, shape (n,)."""
    kept = np.ones(len(points), dtype=bool)
    for place in range(len(points)):
        if kept[place]:
            kept &= ~_dominated(points, points[place : place + 1])
    return kept


def hypervolume(points: Floats, reference: Floats) -> float:
    """Return the volume that two or three losses dominate, up to a reference point: exact.

    Args:
        points: shape (n, 2) or (n, 3). What is not better than the reference in every loss adds nothing.
        reference: shape (2,) or (3,).

    Raises:
        ValueError: another number of losses.
    """
    m = len(reference)
    if m not in (2, 3):
        raise ValueError(f"hypervolume of {m} objectives: 2 and 3 are computed")
    inside = points[(points < reference).all(axis=1)]
    if m == 2:
        return _area(inside, reference)
    inside = inside[np.argsort(inside[:, 2], kind="stable")]
    heights = np.append(inside[:, 2], reference[2])
    return float(
        sum(
            _area(inside[: k + 1, :2], reference[:2]) * (heights[k + 1] - heights[k])
            for k in range(len(inside))
            if heights[k + 1] > heights[k]
        )
    )


def _area(points: Floats, reference: Floats) -> float:
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    lowest = np.minimum.accumulate(points[:, 1]) if len(points) else points[:, 1]
    widths = np.diff(np.append(points[:, 0], reference[0]))
    return float(((reference[1] - lowest) * widths).sum())


def _apart(points: Floats, place: int) -> Floats:
    """Return squared distances from one point, shape (n,); differences of 1e-12 count for nothing."""
    found: Floats = np.round(((points - points[place]) ** 2).sum(axis=1), 12)
    return found


def _dominates_one(points: Floats, point: Floats) -> bool:
    """Tell whether any of `points` dominates `point`."""
    return bool(((points <= point).all(axis=1) & (points < point).any(axis=1)).any())


def _dominated(points: Floats, by: Floats) -> NDArray[np.bool_]:
    """Tell which of `points` are dominated by any of the others, shape (n,)."""
    beaten = np.zeros(len(points), dtype=bool)
    for other in by:
        left = np.flatnonzero(~beaten)
        if not len(left):
            break
        beaten[left] = (other <= points[left]).all(axis=1) & (other < points[left]).any(axis=1)
    return beaten
