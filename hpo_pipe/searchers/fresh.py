"""From points of the unit cube to a configuration that was not tried yet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.searchers.tried import Tried, tried
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View
from storage_schema.codec import Json
from storage_schema.errors import ProtocolViolation

MAX_TRIES = 50
MAX_DRAWS = 65_536
"""Points that are drawn for a space where nearly everything is forbidden."""
MAX_DECODED = 512
_BLOCK = 1024


def fresh(
    view: View,
    number: int,
    origin: str,
    point: NDArray[np.float64] | None = None,
    reason: str = "",
    *,
    priors: bool = False,
) -> Suggestion | None:
    """Return the configuration at `point` if it is new and allowed, else a random one; None where none is left.

    After the given point, random ones are drawn, :data:`MAX_TRIES` in all; then a space with a size is walked
    through from a random place, so that nothing is proposed twice while something is left. A space without one that
    is nearly countable (a range of a few doubles) may repeat itself.

    Args:
        view: the study.
        number: the trial to be, which keys the draws.
        origin: the searcher's name; it names the stream of draws too.
        point: a vector of shape (d,) in [0, 1]; entries of inactive parameters may be anything.
        reason: why that point.
        priors: `point` and random ones are uniform draws, to be taken through the user's priors where there are any.
    """
    space, known = view.space, tried(view.history, view.space)
    if space.size is not None and len(known) >= space.size:
        return None
    through = priors and space.has_priors
    drawn = "drawn from the priors" if through else "drawn at random"
    if point is not None:
        reason += ", through the priors" if through else ""
        parameters = space.decode(_drawn(space, point, through))
        verdict = _verdict(space, known, parameters)
        if not verdict:
            return Suggestion(parameters=parameters, origin=origin, reason=reason)
        drawn += f", as {reason} {verdict}"
    rng = view.rng(origin, number)
    for _ in range(MAX_TRIES - (point is not None)):
        parameters = space.decode(_drawn(space, rng.random(len(space.dimensions)), through))
        if not _verdict(space, known, parameters):
            return Suggestion(parameters=parameters, origin=origin, reason=drawn)
    left = (
        _searched(space, known, rng) if space.size is None else _next_untried(space, space.size, known, rng)
    )
    return None if left is None else Suggestion(parameters=left, origin=origin, reason=drawn)


def _drawn(space: Space, point: NDArray[np.float64], through_priors: bool) -> NDArray[np.float64]:
    return space.from_prior(point[np.newaxis])[0] if through_priors else point


def _verdict(space: Space, known: Tried, parameters: Mapping[str, Json]) -> str:
    """Return why a configuration is not to be proposed, or an empty text."""
    if not space.allowed(parameters):
        return "is forbidden"
    return "was tried already" if space.identity(parameters) in known else ""


def _next_untried(space: Space, size: int, known: Tried, rng: np.random.Generator) -> dict[str, Json]:
    start = min(int(rng.random() * size), size - 1)
    for step in range(len(known) + 1):
        parameters = space.configuration((start + step) % size)
        if space.identity(parameters) not in known:
            return parameters
    raise ProtocolViolation("a countable space was walked through and nothing untried was found")


def _searched(space: Space, known: Tried, rng: np.random.Generator) -> dict[str, Json] | None:
    """Return an allowed configuration among many draws, a new one if there is one; None where all are forbidden."""
    found: dict[str, Json] | None = None
    decoded = 0
    for _ in range(MAX_DRAWS // _BLOCK):
        points = rng.random((_BLOCK, len(space.dimensions)))
        for point in points[space.permitted(points)]:
            found = space.decode(point)
            decoded += 1
            if space.identity(found) not in known or decoded >= MAX_DECODED:
                return found
    return found
