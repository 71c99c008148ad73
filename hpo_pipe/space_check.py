"""A user's configuration, held against a space."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from hpo_pipe.conditions import Clause
from hpo_pipe.options import MAX_LINES, MAX_NAME, Refused
from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest

if TYPE_CHECKING:
    from hpo_pipe.space import Space


def checked(space: Space, parameters: Mapping[str, Json], partial: bool) -> dict[str, Json]:
    """Return what :meth:`Space.check` says; raises UserError."""
    names = ", ".join(space.names)
    unknown = (str(name)[:MAX_NAME] for name in parameters if name not in space.names)
    lines = [
        f"parameter {name} is not known{nearest(name, space.names)}, allowed: {names}"
        for name in islice(unknown, MAX_LINES)
    ]
    own: dict[str, Json] = {}
    for parameter in space.parameters:
        try:
            if parameter.name in parameters:
                own[parameter.name] = parameter.checked(parameters[parameter.name])
            elif parameter.size == 1:
                own[parameter.name] = parameter.at(0)
        except Refused as refused:
            lines.append(f"parameter {refused}")
    if not lines:
        own = _possible(space, own, parameters) if partial else space.active(own)
        lines += [] if partial else _missing(space, own)
        lines += [
            f"the combination is forbidden: {clause}" for clause in space.forbidden if clause.holds(own)
        ]
    if lines:
        raise UserError("\n".join(lines))
    return {name: own[name] for name in space.names if name in own and (not partial or name in parameters)}


def _possible(space: Space, own: Mapping[str, Json], given: Container[str]) -> dict[str, Json]:
    """Return what may become active of `own`, whose missing parents are open.

    A constant that was not given counts only where it is sure to be active: else it may still be without effect.
    """
    open_ = {parameter.name for parameter in space.parameters if parameter.name not in own}
    found: dict[str, Json] = {}
    for name in space.order:
        clause = space.conditions.get(name)
        if clause is not None and not _can_hold(clause, found, open_):
            open_.discard(name)
        elif name in given or (name in own and (clause is None or clause.holds(found))):
            found[name] = own[name]
        else:
            open_.add(name)
    return found


def _can_hold(clause: Clause, found: Mapping[str, Json], open_: set[str]) -> bool:
    return all(
        test.name in open_ or (test.name in found and test.holds(found[test.name])) for test in clause.tests
    )


def _missing(space: Space, active: Mapping[str, Json]) -> Iterator[str]:
    for parameter in space.parameters:
        clause = space.conditions.get(parameter.name)
        if parameter.name not in active and (clause is None or clause.holds(active)):
            because = f", which is active because {clause}" if clause else ""
            yield f"parameter {parameter.name} is missing{because}"
