"""A configuration that a user gave in part, made whole: what was given stays, and is active."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.conditions import Test
from hpo_pipe.space import Space
from hpo_pipe.vectors import Points, edges_of
from storage_schema.codec import Json
from storage_schema.errors import UserError

BLOCK = 256
MAX_BLOCKS = 64


def completed(
    space: Space, given: Mapping[str, Json], rng: np.random.Generator, first: Mapping[str, Json] | None = None
) -> dict[str, Json] | None:
    """Return an allowed configuration that holds all of `given`; None where none was found.

    What is missing is taken from `first`. Where that will not do, those parameters are drawn that a given one needs
    to be active, then those that forbidden combinations are made of, then all.

    Args:
        space: what is searched.
        given: values as :meth:`Space.check` returns them.
        rng: draws :data:`BLOCK` points at a time, at most :data:`MAX_BLOCKS` times.
        first: a configuration that is preferred.
    """
    if found := _standing(space, {**(first or {}), **given}, given):
        return found
    columns = {p.name: column for column, p in enumerate(space.dimensions)}
    at = [columns[name] for name in given if name in columns]
    places = [space.dimensions[column].encode(given[space.dimensions[column].name]) for column in at]
    for points in _drawn(space, given, rng, first):
        points[:, at] = places
        fit = space.permitted(points) & space.activity(points)[:, at].all(axis=1)
        for point in points[fit]:
            if found := _standing(space, {**space.decode(point), **given}, given):
                return found
    return None


def _standing(
    space: Space, parameters: Mapping[str, Json], given: Mapping[str, Json]
) -> dict[str, Json] | None:
    """Return the active ones of `parameters`, if they are a whole and allowed configuration with all of `given`."""
    try:
        found = space.check(parameters)
    except UserError:
        return None
    return found if given.keys() <= found.keys() else None


def _drawn(
    space: Space, given: Iterable[str], rng: np.random.Generator, first: Mapping[str, Json] | None
) -> Iterator[Points]:
    """Yield points, shape (BLOCK, d): near `first`, then anywhere; parents of `given` as they are needed."""
    needed = _needed(space, given)
    loose = set(needed)
    preferred = space.encode(first or {})
    for block in range(MAX_BLOCKS):
        points = space.from_prior(rng.random((BLOCK, len(space.dimensions))))
        for column, parameter in enumerate(space.dimensions):
            if parameter.name in needed:
                edges = edges_of(needed[parameter.name], parameter)
                points[:, column] = _between(points[:, column], edges)
            elif block < 2 and parameter.name not in loose and not np.isnan(preferred[column]):
                points[:, column] = preferred[column]
        loose |= {name for clause in space.forbidden for name in clause.names}
        yield points


def _needed(space: Space, names: Iterable[str]) -> dict[str, Test]:
    """Return, for the parameters that decide whether those named are active, a test that must hold."""
    found: dict[str, Test] = {}
    left = list(names)
    while left:
        clause = space.conditions.get(left.pop())
        for test in clause.tests if clause else ():
            if test.name not in found:
                found[test.name] = test
                left.append(test.name)
    return found


def _between(u: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return uniform draws as uniform draws from [edges[0], edges[1]), [edges[2], edges[3]), ..."""
    starts, ends = np.clip(edges[0::2], 0.0, 1.0), np.clip(edges[1::2], 0.0, 1.0)
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    far = u * lengths.sum()
    interval = np.searchsorted(before, far, side="right") - 1
    found: NDArray[np.float64] = np.minimum(starts[interval] + far - before[interval], ends[interval])
    return found
