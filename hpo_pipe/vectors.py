"""A space over many points at once: activity, snapping, what is allowed. In step with decode(), row by row.

A test on a parameter becomes intervals of its unit interval: their edges are found by bisection on the parameter's
own decoding, so that an array and a single point never disagree about which side of an edge they are on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.conditions import Between, Clause, Test
from hpo_pipe.parameters import FloatParameter, IntParameter, Parameter
from hpo_pipe.scales import widened

Points = NDArray[np.float64]
"""Shape (n, d), in [0, 1], NaN where a parameter is inactive."""
Mask = NDArray[np.bool_]
_TEST = tuple[int, NDArray[np.float64]]
"""The parameter's place in the space, and the edges between which the test holds."""


class Vectors:
    """A space, compiled."""

    def __init__(
        self,
        parameters: Sequence[Parameter],
        order: Sequence[str],
        conditions: Mapping[str, Clause],
        forbidden: Sequence[Clause],
    ) -> None:
        self._places = {p.name: place for place, p in enumerate(parameters)}
        free = [place for place, p in enumerate(parameters) if p.size != 1]
        self._columns = {place: column for column, place in enumerate(free)}
        self._by_place = tuple(parameters)
        conditional = [name for name in order if name in conditions]
        self._conditions = [(self._places[n], self._compiled(conditions[n])) for n in conditional]
        self._forbidden = [self._compiled(clause) for clause in forbidden]
        dimensions = [parameters[place] for place in free]
        self._d = len(dimensions)
        self._cells = [(c, p.size) for c, p in enumerate(dimensions) if p.size and not _widened(p)]
        self._even = np.array([c for c, _ in self._cells], dtype=np.intp)
        self._counts = np.array([float(size) for _, size in self._cells])
        self._uneven = [(c, p) for c, p in enumerate(dimensions) if p.size and _widened(p)]

    def active(self, points: Points) -> Mask:
        """Return which entries count, shape (n, d); entries of inactive parameters in `points` may be anything."""
        found = np.ones(points.shape, dtype=np.bool_)
        for place, mask in self._activity(points).items():
            if place in self._columns:
                found[:, self._columns[place]] = mask
        return found

    def snap(self, points: Points) -> Points:
        """Return ``encode(decode(u))`` of each row; discrete parameters in the middle of their cells.

        Raises:
            ValueError: NaN where a parameter is active.
        """
        found: Points = np.clip(points, 0.0, 1.0)
        if len(self._even):
            cells = np.minimum(np.floor(found[:, self._even] * self._counts), self._counts - 1.0)
            found[:, self._even] = (cells + 0.5) / self._counts
        for column, parameter in self._uneven:
            found[:, column] = _middles(parameter, found[:, column])
        active = self.active(points) if self._conditions else None
        missing = np.isnan(found)
        if (missing if active is None else missing & active).any():
            raise ValueError("NaN stands for an inactive parameter, and an active one has it")
        if active is not None:
            found[~active] = np.nan
        return found

    def permitted(self, points: Points) -> Mask:
        """Return whether each row, shape (n,), is free of forbidden combinations."""
        allowed = np.ones(len(points), dtype=np.bool_)
        if self._forbidden:
            activity = self._activity(points)
            for clause in self._forbidden:
                allowed &= ~self._holds(clause, points, activity)
        return allowed

    def _activity(self, points: Points) -> dict[int, Mask]:
        """Return, for the places of conditional parameters, which rows have them."""
        activity: dict[int, Mask] = {}
        for place, clause in self._conditions:  # parents before their children
            activity[place] = self._holds(clause, points, activity)
        return activity

    def _holds(self, clause: Sequence[_TEST], points: Points, activity: Mapping[int, Mask]) -> Mask:
        found = np.ones(len(points), dtype=np.bool_)
        for place, edges in clause:
            if place in activity:
                found &= activity[place]
            if place in self._columns:
                found &= _inside(points[:, self._columns[place]], edges)
            elif not len(edges):
                found[:] = False
        return found

    def _compiled(self, clause: Clause) -> list[_TEST]:
        return [
            (self._places[t.name], edges_of(t, self._by_place[self._places[t.name]])) for t in clause.tests
        ]


def _inside(u: NDArray[np.float64], edges: NDArray[np.float64]) -> Mask:
    """Tell for each entry of `u` whether it lies in [edges[0], edges[1]), [edges[2], edges[3]), ...; NaN does not."""
    if len(edges) == 2:
        found: Mask = (u >= edges[0]) & (u < edges[1])
        return found
    inside: Mask = np.searchsorted(edges, u, side="right") % 2 == 1
    return inside


def edges_of(test: Test, parameter: Parameter) -> NDArray[np.float64]:
    """Return where the test begins and ceases to hold, alternating; for a single value all or nothing."""
    if parameter.size is None:
        assert isinstance(test, Between), "a parameter without steps is tested for a range"
        low, high = test.least, test.most
        return np.array(
            [_first(lambda u: parameter.decode(u) >= low), _first(lambda u: parameter.decode(u) > high)]
        )
    runs = test.places(parameter)
    if parameter.size == 1:
        return np.array([-math.inf, math.inf] if runs else [])
    return np.array(
        [edge for run in runs for edge in (_start(parameter, run.start), _start(parameter, run.stop))]
    )


def _start(parameter: Parameter, index: int) -> float:
    """Return the first u whose value is number `index` or a later one; infinite where all or none are."""
    return _first(lambda u: parameter.cell(u) >= index) if index < (parameter.size or 0) else math.inf


def _first(holds: Callable[[float], bool]) -> float:
    """Return the smallest double in [0, 1] that `holds`, where all greater ones do; -inf for 0, +inf for none."""
    if holds(0.0):
        return -math.inf
    if not holds(1.0):
        return math.inf
    below, above = 0.0, 1.0
    while below < (halfway := (below + above) / 2) < above:
        below, above = (below, halfway) if holds(halfway) else (halfway, above)
    return above


def _widened(parameter: Parameter) -> bool:
    return isinstance(parameter, FloatParameter | IntParameter) and parameter.log


def _middles(parameter: Parameter, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middles of the cells of a discrete parameter on a log scale, shape (n,)."""
    assert isinstance(parameter, FloatParameter | IntParameter) and parameter.size is not None
    low, step = parameter.min, parameter.step or 1.0
    bottom, top = widened(parameter.size, low, step)
    numbers = (np.exp(bottom + u * (top - bottom)) - low) / step + 0.5
    cells = np.clip(np.floor(numbers), 0.0, parameter.size - 1.0)
    # numpy's exp and the C library's may differ in the last bits: ask the parameter itself where that could tell
    near = np.abs(numbers - np.rint(numbers)) <= 1e-13 * (np.abs(numbers) + low / step + 1.0)
    for row in np.flatnonzero(near):
        cells[row] = parameter.cell(float(u[row]))
    found: NDArray[np.float64] = (np.log(low + cells * step) - bottom) / (top - bottom)
    return np.clip(found, 0.0, 1.0)
