"""Tables of options as frozen dataclasses: one reader for study files, algorithms and parameters.

A dataclass says what is allowed: its field types (``int``, ``float``, ``bool``, ``str``, ``dict``, ``tuple``, each
also ``| None``; ``Json`` for anything), its defaults, and the limits of :func:`option`. Rules between fields are
kept in ``__post_init__``, which raises :class:`Refused`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, field, fields
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest

MAX_LINES = 100
"""Mistakes of one kind that are told; each of them may list all that is allowed."""
MAX_NAME = 80
"""Characters of a wrong name that are told."""

_T = TypeVar("_T")


class Refused(ValueError):
    """One field that does not go with the others; :func:`read_options` adds file and key."""

    def __init__(self, name: str, found: Json, allowed: str) -> None:
        super().__init__(f"{name} is {shown(found)}, expected {allowed}")
        self.name = name
        self.found = found
        self.allowed = allowed


class Seconds(float):
    """A duration: seconds as a number, or a text such as ``90s``, ``15min``, ``2h``, ``1d``."""


def option(
    default: Any = MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    allowed: tuple[str, ...] | None = None,
) -> Any:
    """Return a dataclass field with limits; `low` and `high` are inclusive."""
    return field(default=default, metadata={"low": low, "high": high, "allowed": allowed})


def read_options(cls: type[_T], given: Json, where: str, key: str) -> _T:
    """Build `cls` from a table.

    Args:
        cls: a dataclass as described above.
        given: the table as it was read.
        where: the file, for errors.
        key: the table's dotted key, for errors; empty for the top of a file.

    Raises:
        StudyFileError: with one line for each mistake.
    """
    if not isinstance(given, Mapping):
        raise mistake(where, key, given, "a table")
    known = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
    hints = _types(cls)  # type: ignore[arg-type]
    mistakes = unknown_names(given, known, where, key)
    values: dict[str, Any] = {}
    for name, declared in known.items():
        try:
            if name in given:
                values[name] = _converted(given[name], hints[name], declared)
            elif declared.default is MISSING and declared.default_factory is MISSING:
                mistakes.append(
                    f"{where}: {dotted(key, name)} is missing, expected {_wanted(hints[name], declared)}"
                )
        except Refused as refused:
            mistakes.append(str(mistake(where, dotted(key, name), refused.found, refused.allowed)))
    if mistakes:
        raise StudyFileError("\n".join(mistakes))
    try:
        return cls(**values)
    except Refused as refused:
        raise mistake(where, dotted(key, refused.name), refused.found, refused.allowed) from None


@lru_cache(maxsize=1024)
def _types(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields. Every decision reads the options of its algorithms anew."""
    return get_type_hints(cls)


def unknown_names(given: Iterable[str], known: Iterable[str], where: str, key: str) -> list[str]:
    """Return one line for every name in `given` that is not in `known`, at most :data:`MAX_LINES`."""
    known = list(known)
    names = ", ".join(known)
    unknown = (str(name)[:MAX_NAME] for name in given if name not in known)
    return [
        f"{where}: {dotted(key, name)} is not known{nearest(name, known)}, allowed: {names}"
        for name in islice(unknown, MAX_LINES)
    ]


def mistake(where: str, key: str, found: Json, allowed: str) -> StudyFileError:
    """Return the error that names file, key, what was found and what is allowed."""
    return StudyFileError(
        f"{where}: {key} is {'missing' if found is None else shown(found)}, expected {allowed}"
    )


def together(mistakes: Iterable[StudyFileError]) -> None:
    """Raise all mistakes as one error, or nothing where there are none."""
    lines = [str(m) for m in mistakes]
    if lines:
        raise StudyFileError("\n".join(lines))


def dotted(key: str, name: str) -> str:
    """Return the dotted key of `name` within the table `key`."""
    return f"{key}.{name}" if key else name


def shown(found: Json) -> str:
    """Return what was found, short enough for a message."""
    if isinstance(found, Mapping):
        return "a table"
    text = repr(list(found)) if isinstance(found, tuple) else repr(found)
    return text if len(text) <= 60 else text[:57] + "..."


def _converted(found: Json, hint: Any, declared: Field[Any]) -> Any:
    kinds = _kinds(hint)
    if found is None and type(None) in kinds:
        return None
    if Any in kinds:
        return found
    for kind in kinds:
        value = _READERS[kind](found) if kind in _READERS else None
        if value is not None and _within(value, declared):
            return value
    allowed = declared.metadata.get("allowed") or ()
    guess = nearest(found, allowed) if isinstance(found, str) else ""
    raise Refused(declared.name, found, _wanted(hint, declared) + guess)


def _kinds(hint: Any) -> tuple[Any, ...]:
    union = get_origin(hint) is Union or type(hint).__name__ == "UnionType"
    return tuple(get_origin(k) or k for k in (get_args(hint) if union else (hint,)))


def _within(value: Any, declared: Field[Any]) -> bool:
    low, high = declared.metadata.get("low"), declared.metadata.get("high")
    allowed = declared.metadata.get("allowed")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (low is None or value >= low) and (high is None or value <= high)
    return allowed is None or value in allowed


def _wanted(hint: Any, declared: Field[Any]) -> str:
    if allowed := declared.metadata.get("allowed"):
        return " or ".join(allowed)
    words = " or ".join(_WORDS[k] for k in _kinds(hint) if k in _WORDS) or "a value"
    low, high = declared.metadata.get("low"), declared.metadata.get("high")
    if low is not None and high is not None:
        return f"{words} from {low} to {high}"
    return words if low is None else f"{words} of at least {low}"


def _integer(found: Json) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return int(found) if isinstance(found, int) or found.is_integer() else None


def _number(found: Json) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _seconds(found: Json) -> Seconds | None:
    match = _DURATION.fullmatch(found.strip()) if isinstance(found, str) else None
    number = _number(float(match[1]) * _SECONDS[match[2] or "s"]) if match else _number(found)
    return None if number is None else Seconds(number)


_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?)\s*(s|min|m|h|d)?")
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_READERS: dict[Any, Callable[[Json], Any]] = {
    Seconds: _seconds,
    int: _integer,
    float: _number,
    bool: lambda found: found if isinstance(found, bool) else None,
    str: lambda found: found if isinstance(found, str) else None,
    tuple: lambda found: tuple(found) if isinstance(found, list | tuple) else None,
    dict: lambda found: dict(found) if isinstance(found, Mapping) else None,
}
_WORDS: dict[Any, str] = {
    Seconds: "seconds or a duration like 90s, 15min, 2h or 1d",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    tuple: "an array",
    dict: "a table",
}
