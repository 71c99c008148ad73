"""What a user enqueued, as a trial: whole, allowed, and as near to the user's words as can be. It never fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hpo_pipe.completion import completed
from hpo_pipe.space import Space
from storage_schema.codec import Json
from storage_schema.errors import UserError

MAX_REASON = 2000


def whole(
    space: Space,
    given: Mapping[str, Json],
    rng: np.random.Generator,
    propose: Callable[[], Mapping[str, Json] | None],
) -> tuple[dict[str, Json], str]:
    """Return the configuration to train, and what is to be said about it.

    What is wrong, inactive or forbidden in `given` is left out, with a word; who enqueues is told before, but a log
    may hold anything.

    Args:
        space: what is searched.
        given: as the log has it.
        rng: draws what is missing, where the proposal does not do.
        propose: asks the searcher, which may have nothing left; called only if something is missing.
    """
    wanted, left_out = _valid(space, given)
    first = None if _is_whole(space, wanted) else propose()
    found = _with_all(space, wanted, left_out, rng, first)
    if found is None:  # nothing was found that is allowed: better a trial than a study that stands still
        found = dict(first) if first is not None else space.decode(rng.random(len(space.dimensions)))
    chosen = [p.name for p in space.dimensions if p.name in found and p.name not in wanted]
    reason = f"; the searcher chose {', '.join(chosen)}" if chosen else ""
    if left_out:
        reason += f"; left out: {'; '.join(left_out)}"[:MAX_REASON]
    return found, f"enqueued by a user{reason}"


def checked_wish(space: Space, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a user wants tried, as :meth:`Space.check` does for a part of a configuration.

    Raises:
        UserError: a mistake in it, a forbidden combination, or parameters that are never active together.
    """
    found = space.check(given, partial=True)
    if completed(space, found, np.random.Generator(np.random.PCG64(0))) is None:
        raise UserError(f"no allowed configuration has {', '.join(found)} together, with these values")
    return found


def _valid(space: Space, given: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    kept: dict[str, Json] = {}
    wrong: list[str] = []
    for name, value in given.items():
        try:
            kept |= space.check({name: value}, partial=True)
        except UserError as error:
            wrong.append(str(error))
    return kept, wrong


def _is_whole(space: Space, wanted: Mapping[str, Json]) -> bool:
    try:
        space.check(wanted)
    except UserError:
        return False
    return True


def _with_all(
    space: Space,
    wanted: dict[str, Json],
    left_out: list[str],
    rng: np.random.Generator,
    first: Mapping[str, Json] | None,
) -> dict[str, Json] | None:
    """Complete `wanted`, which shrinks until that can be done."""
    while True:
        clause = next((c for c in space.forbidden if c.holds(wanted)), None)
        if clause is None:
            possible = space.check(wanted, partial=True)
            for name in [name for name in wanted if name not in possible]:
                del wanted[name]
                left_out.append(f"{name}, which is inactive beside the others")
            if (found := completed(space, wanted, rng, first)) or not wanted:
                return found
        last = [name for name in wanted if clause is None or name in clause.names][-1]
        del wanted[last]
        left_out.append(f"{last}, which is forbidden or impossible beside the others")
