"""A request held against the service's own model: names, types, enumerations, lengths, ranges and patterns.

botocore's own validation looks at names, types and least values only. The model is botocore's, and so follows the
service with it; the patterns are the model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

from hpo_pipe.key_path import Path, path_text
from hpo_pipe.options import MAX_LINES, mistake, unknown_names
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest
from storage_schema.redaction import redacted

_MAY_GROW = "InstanceType"
"""Enumerations of this kind grow with every generation of machines: an older botocore lacks the newest."""
_MACHINE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}
_WORDS = {"string": "a string", "integer": "an integer", "long": "an integer", "boolean": "true or false"}


def check_request(service: str, operation: str, request: Mapping[str, Json], where: str) -> None:
    """Raise StudyFileError, with one line for each mistake, where the service would not take `request`.

    Args:
        service: the SDK's name of the service, as in ``sagemaker``.
        operation: the service's name of the operation, as in ``CreateTrainingJob``.
        request: the operation's parameters.
        where: names the request in messages.
    """
    lines = list(islice(_mistakes(_operation(service, operation).input_shape, request, where, ()), MAX_LINES))
    if lines:
        raise StudyFileError("\n".join(lines))


def request_members(service: str, operation: str) -> frozenset[str]:
    """Return the names at the top of an operation's request."""
    return frozenset(_operation(service, operation).input_shape.members)


def answer_members(service: str, operation: str) -> frozenset[str]:
    """Return the names at the top of an operation's answer."""
    return frozenset(_operation(service, operation).output_shape.members)


def enumeration(service: str, shape: str) -> tuple[str, ...]:
    """Return the values of an enumeration, as in ``InstanceType`` of ``ec2``."""
    return tuple(_model(service).shape_for(shape).enum)


@cache
def _operation(service: str, operation: str) -> Any:
    return _model(service).operation_model(operation)


@cache
def _model(service: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _mistakes(shape: Any, found: Json, where: str, path: Path) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _of_structure(shape, found, where, path)
    elif kind == "map":
        yield from _of_map(shape, found, where, path)
    elif kind == "list":
        yield from _of_list(shape, found, where, path)
    else:
        yield from _of_scalar(shape, found, where, path)


def _of_structure(shape: Any, found: Json, where: str, path: Path) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield _line(where, path, found, f"an object with {', '.join(shape.members)}")
        return
    yield from unknown_names(found, shape.members, where, path_text(path))
    for name in shape.required_members:
        if name not in found:
            yield f"{where}: {path_text((*path, name))} is missing, expected {_words(shape.members[name])}"
    for name, value in found.items():
        if name in shape.members:
            yield from _mistakes(shape.members[name], value, where, (*path, name))


def _of_map(shape: Any, found: Json, where: str, path: Path) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield _line(where, path, found, "an object of names and strings")
        return
    if len(found) > shape.metadata.get("max", len(found)):
        yield f"{where}: {path_text(path)} has {len(found)} entries, expected at most {shape.metadata['max']}"
    for name, value in found.items():
        yield from _of_scalar(shape.key, name, where, (*path, name))
        yield from _mistakes(shape.value, value, where, (*path, name))


def _of_list(shape: Any, found: Json, where: str, path: Path) -> Iterator[str]:
    if not isinstance(found, list):
        yield _line(where, path, found, "an array")
        return
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(found))
    if not low <= len(found) <= high:
        yield f"{where}: {path_text(path)} has {len(found)} items, expected {_bounds(low, high)}"
    for place, item in enumerate(found):
        yield from _mistakes(shape.member, item, where, (*path, place))


def _of_scalar(shape: Any, found: Json, where: str, path: Path) -> Iterator[str]:
    kind = shape.type_name
    wrong = not isinstance(found, _TYPES[kind]) or (isinstance(found, bool) and kind != "boolean")
    if wrong:
        quoted = kind == "string" and isinstance(found, int | float) and not isinstance(found, bool)
        yield _line(where, path, found, _words(shape) + (f': "{found}"' if quoted else ""))
    elif isinstance(found, str):
        yield from _of_text(shape, found, where, path)
    elif not isinstance(found, bool):
        low, high = shape.metadata.get("min", found), shape.metadata.get("max", found)
        if not low <= found <= high:
            yield _line(where, path, found, _words(shape))


def _of_text(shape: Any, found: str, where: str, path: Path) -> Iterator[str]:
    enum, pattern = shape.enum, shape.metadata.get("pattern")
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(found))
    if enum and shape.name.endswith(_MAY_GROW):
        prefix = "ml." if enum[0].startswith("ml.") else ""
        like = f"{prefix}g5.xlarge"
        if not found.startswith(prefix) or not _MACHINE.fullmatch(found[len(prefix) :]):
            yield _line(where, path, found, f"an instance type such as {like}" + nearest(found, enum))
    elif enum:
        if found not in enum:
            yield _line(where, path, found, " or ".join(enum) + nearest(found, enum))
    elif not low <= len(found) <= high:  # without the text: it may be long, and a secret
        yield f"{where}: {path_text(path)} has {len(found)} characters, expected {_bounds(low, high)}"
    elif pattern is not None and not _compiled(pattern).fullmatch(found):
        yield _line(where, path, redacted(found), f"text that matches {pattern}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return one of the model's patterns, which are Java's: Python has no classes by Unicode category."""
    for category, own in (("L", r"\w"), ("N", r"\d"), ("Z", r"\s")):
        pattern = pattern.replace(rf"\p{{{category}}}", own)
    return re.compile(pattern)


def _words(shape: Any) -> str:
    """Return what a value may be, for a message."""
    if shape.type_name in ("structure", "map"):
        return "an object"
    if shape.type_name == "list":
        return "an array"
    if getattr(shape, "enum", None) and not shape.name.endswith(_MAY_GROW):
        return " or ".join(shape.enum)
    words = _WORDS.get(shape.type_name, "a number")
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name == "string" or low is None:
        return words
    return f"{words} of at least {low}" if high is None else f"{words} from {low} to {high}"


def _bounds(low: int, high: int) -> str:
    return f"{low} to {high}" if low else f"at most {high}"


def _line(where: str, path: Path, found: Json, allowed: str) -> str:
    return str(mistake(where, path_text(path), "null" if found is None else found, allowed))
