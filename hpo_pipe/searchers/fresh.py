"""From points of the unit cube to a configuration that was not tried yet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.searchers.tried import Tried, tried
from hpo_pipe.space import Space
from hpo_pipe.view import View
from storage_schema.codec import Json

MAX_TRIES = 50


def fresh(
    view: View, number: int, points: Iterable[NDArray[np.float64]], purpose: str
) -> dict[str, Json] | None:
    """Return the first configuration among `points` that is new, or None where all have been tried.

    After the given points, uniform ones are drawn, :data:`MAX_TRIES` in all; then a countable space is walked
    through from a random place, so that nothing is proposed twice while something is left. A space that is not
    countable but nearly so (a range of a few doubles) may repeat itself.

    Args:
        view: the study.
        number: the trial to be, which keys the draws.
        points: vectors of shape (d,).
        purpose: names the stream of draws.
    """
    space, known = view.space, tried(view.history, view.space)
    if space.size is not None and len(known) >= space.size:
        return None
    rng = view.rng(purpose, number)
    parameters: dict[str, Json] = {}
    for _, point in zip(range(MAX_TRIES), _then_uniform(points, rng, len(space.dimensions)), strict=False):
        parameters = space.decode(point)
        if space.identity(parameters) not in known:
            return parameters
    return parameters if space.size is None else _next_untried(space, space.size, known, rng)


def _then_uniform(
    points: Iterable[NDArray[np.float64]], rng: np.random.Generator, d: int
) -> Iterable[NDArray[np.float64]]:
    yield from points
    while True:
        yield rng.random(d)


def _next_untried(space: Space, size: int, known: Tried, rng: np.random.Generator) -> dict[str, Json] | None:
    start = min(int(rng.random() * size), size - 1)
    for step in range(len(known) + 1):
        parameters = space.configuration((start + step) % size)
        if space.identity(parameters) not in known:
            return parameters
    return None
