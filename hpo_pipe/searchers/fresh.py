"""From points of the unit cube to a configuration that was not tried yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.searchers.tried import Tried, tried
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View
from storage_schema.codec import Json
from storage_schema.errors import ProtocolViolation

MAX_TRIES = 50


def fresh(
    view: View, number: int, origin: str, point: NDArray[np.float64] | None = None, reason: str = ""
) -> Suggestion | None:
    """Return the configuration at `point` if it is new, else a random new one; None where all have been tried.

    After the given point, uniform ones are drawn, :data:`MAX_TRIES` in all; then a countable space is walked
    through from a random place, so that nothing is proposed twice while something is left. A space that is not
    countable but nearly so (a range of a few doubles) may repeat itself.

    Args:
        view: the study.
        number: the trial to be, which keys the draws.
        origin: the searcher's name; it names the stream of draws too.
        point: a vector of shape (d,) in [0, 1].
        reason: why that point.
    """
    space, known = view.space, tried(view.history, view.space)
    if space.size is not None and len(known) >= space.size:
        return None
    parameters: dict[str, Json] = {}
    if point is not None:
        parameters = space.decode(point)
        if space.identity(parameters) not in known:
            return Suggestion(parameters=parameters, origin=origin, reason=reason)
    rng = view.rng(origin, number)
    for _ in range(MAX_TRIES - (point is not None)):
        parameters = space.decode(rng.random(len(space.dimensions)))
        if space.identity(parameters) not in known:
            break
    else:
        if space.size is not None:
            parameters = _next_untried(space, space.size, known, rng)
    drawn = "drawn at random" if point is None else f"drawn at random, as {reason} was tried already"
    return Suggestion(parameters=parameters, origin=origin, reason=drawn)


def _next_untried(space: Space, size: int, known: Tried, rng: np.random.Generator) -> dict[str, Json]:
    start = min(int(rng.random() * size), size - 1)
    for step in range(len(known) + 1):
        parameters = space.configuration((start + step) % size)
        if space.identity(parameters) not in known:
            return parameters
    raise ProtocolViolation("a countable space was walked through and nothing untried was found")
