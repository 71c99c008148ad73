"""``[parameters]`` and ``[[forbidden]]``: what is searched, and whether the chosen algorithm copes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo_pipe.enqueued import checked_wish
from hpo_pipe.options import Refused, mistake, together
from hpo_pipe.space import Space
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, UserError
from storage_schema.records import Metric

SAMPLE = 4096
"""Configurations that are drawn to see whether anything is allowed."""


def read_space(parameters: Json, forbidden: Json, where: str) -> Space:
    """Return the space of a study file.

    Raises:
        StudyFileError: with one line for each mistake; or everything is forbidden.
    """
    if not isinstance(parameters, Mapping) or not parameters:
        if parameters is not None and parameters != {}:
            raise mistake(where, "parameters", parameters, "a table with one line per parameter")
        example = 'lr = { type = "float", min = 1e-4, max = 1e-1, log = true }'
        raise StudyFileError(
            f"{where}: parameters are missing, expected [parameters] with lines like {example}"
        )
    lists = [name for name, value in parameters.items() if isinstance(value, list)]
    if lists:
        allowed = (
            '{ type = "categorical", values = [...] } for a choice, { type = "constant", value = [...] } else'
        )
        together(mistake(where, f"parameters.{name}", parameters[name], allowed) for name in lists)
    tables = [
        {**(value if isinstance(value, Mapping) else {"type": "constant", "value": value}), "name": name}
        for name, value in parameters.items()
    ]
    space = Space.from_json(tables, where, None if forbidden is None else {"forbidden": forbidden})
    if not _something_allowed(space):
        raise StudyFileError(f"{where}: forbidden leaves nothing to search, or next to nothing")
    return space


def read_enqueued(found: Json, space: Space, where: str) -> tuple[dict[str, Json], ...]:
    """Return the configurations of ``[[enqueue]]``, without what is inactive in them.

    Raises:
        StudyFileError: with the mistakes of the first one that has any.
    """
    tables = [] if found is None else found
    if not isinstance(tables, list | dict) or not all(isinstance(t, Mapping) for t in tables):
        raise mistake(where, "enqueue", found, "tables of parameters: [[enqueue]]")
    wishes: list[dict[str, Json]] = []
    for place, table in enumerate(tables):
        try:
            wishes.append(checked_wish(space, table))
        except UserError as error:
            said = str(error).split("\n")
            raise StudyFileError("\n".join(f"{where}: enqueue[{place}]: {line}" for line in said)) from None
    return tuple(wishes)


def check_copes(key: str, name: str, algorithm: type[Any], space: Space, where: str) -> tuple[str, ...]:
    """Return notes on what an algorithm makes of a space.

    Args:
        key: ``scheduler`` or ``searcher``.
        name: the algorithm's.
        algorithm: its class. ``copes_with_conditions``, ``copes_with_forbidden`` and ``uses_priors`` say what it
            can do, all of it by default; a static ``check_space(space)`` may raise Refused.
        space: what is to be searched.
        where: the file, for errors.

    Raises:
        StudyFileError: it does not cope with conditions or forbidden combinations, and there are some.
    """
    for there, attribute, what in (
        (space.conditions, "copes_with_conditions", "conditional parameters (when)"),
        (space.forbidden, "copes_with_forbidden", "forbidden combinations"),
    ):
        if there and not getattr(algorithm, attribute, True):
            raise mistake(where, f"algorithm.{key}", name, f"another one: {name} does not cope with {what}")
    check = getattr(algorithm, "check_space", None)
    try:
        if check is not None:
            check(space)
    except Refused as refused:
        raise mistake(where, f"algorithm.{refused.name}", refused.found, refused.allowed) from None
    if space.priors and key == "searcher" and not getattr(algorithm, "uses_priors", True):
        return (f"algorithm.searcher: {name} makes no use of priors",)
    return ()


def check_wanted(key: str, name: str, algorithm: type[Any], metrics: tuple[Metric, ...], where: str) -> None:
    """Raise StudyFileError where an algorithm's ``copes_with_objectives`` is false, and it is to.

    It then knows one objective without bounds, and no more.
    """
    several = any(metric.objective or metric.bounded for metric in metrics)
    if several and not getattr(algorithm, "copes_with_objectives", True):
        what = "several objectives (goal of more than one metric), or bounds (min, max)"
        raise mistake(where, f"algorithm.{key}", name, f"another one: {name} does not cope with {what}")


def _something_allowed(space: Space) -> bool:
    if not space.forbidden or space.size is not None:
        return space.size != 0
    rng = np.random.Generator(np.random.PCG64(0))
    return bool(space.permitted(rng.random((SAMPLE, len(space.dimensions)))).any())
