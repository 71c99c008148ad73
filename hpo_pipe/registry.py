"""Algorithms by name: ours from a dict, outsiders' from entry points of the same name as the dict."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from hpo_pipe.options import mistake, read_options
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest


def registered(group: str, own: Mapping[str, type[Any]]) -> dict[str, type[Any]]:
    """Return our algorithms and those that installed packages register; ours win over one of the same name."""
    outside = {point.name: point for point in entry_points(group=group)}
    return {name: point.load() for name, point in outside.items() if name not in own} | dict(own)


def find(group: str, own: Mapping[str, type[Any]], name: Json, where: str, key: str) -> type[Any]:
    """Return the class registered as `name`.

    Raises:
        StudyFileError: naming what is registered.
    """
    if isinstance(name, str) and name in own:
        return own[name]
    known = registered(group, own)
    if not isinstance(name, str) or name not in known:
        guess = nearest(name, known) if isinstance(name, str) else ""
        raise mistake(where, key, name, " or ".join(sorted(known)) + guess)
    return known[name]


def options_of(algorithm: type[Any], given: Mapping[str, Json], where: str, key: str) -> Any:
    """Return the algorithm's typed options, its nested class ``Options``.

    Raises:
        StudyFileError: an option that it does not have, or a value that it does not take.
    """
    return read_options(algorithm.Options, {n: v for n, v in given.items() if n != "name"}, where, key)


def named(algorithm: Json, where: str, key: str) -> Mapping[str, Json]:
    """Return a study's ``{"name": ..., option: ...}``, or raise StudyFileError."""
    if not isinstance(algorithm, Mapping) or not isinstance(algorithm.get("name"), str):
        raise StudyFileError(f"{where}: {key} has no name")
    return algorithm
