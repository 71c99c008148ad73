"""Curves, as log entries and heartbeats hold them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NoReturn

from storage_schema.codec import Json
from storage_schema.errors import DamagedRecord
from storage_schema.keys import MAX_RESOURCE
from storage_schema.records.reading import MAX_NUMBER, Fields

Curve = tuple[tuple[int, float | None], ...]
"""(resource, value) in rising resource; None where the value was not finite."""


def curves_json(curves: Mapping[str, Curve]) -> Json:
    """Return curves by metric as JSON."""
    return {name: [list(point) for point in curve] for name, curve in curves.items()}


def curves_of(f: Fields) -> dict[str, Curve]:
    """Read back what :func:`curves_json` wrote under ``curves``; an absent one is empty."""
    curves = f.within("curves")
    return {name: _curve(curves, name) for name in curves.value}


def _curve(f: Fields, name: str) -> Curve:
    points = f.array(name)
    if not all(isinstance(p, list) and len(p) == 2 and _is_point(*p) for p in points):
        _refuse(f, name, "not an array of [resource, number or null]")
    if any(after <= before for (before, _), (after, _) in pairwise(points)):
        _refuse(f, name, "not in rising order of its resources")
    return tuple((resource, None if value is None else float(value)) for resource, value in points)


def _is_point(resource: Json, value: Json) -> bool:
    if type(resource) is not int or not 0 <= resource <= MAX_RESOURCE:
        return False
    return value is None or (type(value) in (int, float) and abs(value) <= MAX_NUMBER)


def _refuse(f: Fields, name: str, problem: str) -> NoReturn:
    raise DamagedRecord(f.key, f"{f.path}{name[:40]!r} is {problem}")
