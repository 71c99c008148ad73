"""From a file's bytes to plain tables. TOML by tomllib; YAML 1.2, in which ``1e-4`` is a number."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from storage_schema.codec import Json
from storage_schema.errors import StudyFileError

MAX_BYTES = 1024 * 1024
MAX_YAML_BYTES = 256 * 1024
"""Its parser takes 50 microseconds for a byte in the worst case."""
MAX_NODES = 100_000
"""Values in a file; in YAML with its aliases written out: a bomb of nested aliases is refused before it unfolds."""
MAX_DEPTH = 50
MAX_INTEGER = 2**1023
"""Beyond doubles; Python itself refuses to write out what is much larger."""

_PART = r"""(?:[\w-]{1,64}|"[^"\n]{0,64}"|'[^'\n]{0,64}')[ \t]*\.[ \t]*"""
_ENDLESS_KEY = re.compile(rf"(?:{_PART}){{200}}", re.ASCII)


def load(path: Path) -> dict[str, Json]:
    """Return what a study file holds.

    Raises:
        StudyFileError: not there, too large, not TOML or YAML by its name, or not well formed (with the line).
    """
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise StudyFileError(f"{path}: study files end with {', '.join(LOADERS)}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    most = MAX_BYTES if loader is _toml else MAX_YAML_BYTES
    if len(data) > most:
        raise StudyFileError(f"{path}: larger than {most} bytes")
    try:
        value = loader(data.decode("utf-8-sig"))
        check_bounds(value)
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise StudyFileError(f"{path}: nested too deeply") from None
    except (
        Exception
    ) as error:  # strangers' parsers on strangers' bytes: KeyError for `!!bool maybe`, and what not
        raise StudyFileError(f"{path}: {_said(error)}") from None
    if not isinstance(value, dict):
        raise StudyFileError(f"{path}: holds {type(value).__name__}, expected tables like [metric]")
    return value


def check_bounds(value: Json) -> None:
    """Raise ValueError where a value has more levels or values than study files have, or what no record could hold."""
    level, left = [value], MAX_NODES
    for _ in range(MAX_DEPTH):
        left -= len(level)
        if left < 0:
            raise ValueError(f"more than {MAX_NODES} values")
        inner: list[Json] = []
        for item in level:
            if isinstance(item, Mapping):
                inner += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple | set):
                inner += item
            else:
                _check_leaf(item)
        level = inner
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _check_leaf(value: Json) -> None:
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise ValueError(f"an integer of {value.bit_length()} bits: hpo-pipe takes at most 1023")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                "half of a surrogate pair (\\ud800 to \\udfff): write the character itself"
            ) from None


def _toml(text: str) -> Json:
    if _ENDLESS_KEY.search(text):  # tomllib takes minutes for it
        raise RecursionError
    return tomllib.loads(text)


def _yaml(text: str) -> Json:
    yaml = YAML(typ="safe", pure=True)
    graph = yaml.compose(text)
    _count(graph, MAX_NODES, MAX_DEPTH)
    return None if graph is None else yaml.constructor.construct_document(graph)


def _count(node: Any, left: int, depth: int) -> int:
    """Return how many values may still come after `node` and all below it, aliases written out."""
    if left <= 0 or depth <= 0:
        raise ValueError(f"more than {MAX_NODES} values or {MAX_DEPTH} levels, with all aliases written out")
    left -= 1
    content = getattr(node, "value", None)
    if isinstance(content, list):
        for item in content:
            for part in item if isinstance(item, tuple) else (item,):
                left = _count(part, left, depth - 1)
    return left


def _said(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"{place}{error.problem or error.context}"
    said = str(error).split("\n", 1)[0]
    return (
        said
        if isinstance(error, ValueError | YAMLError)
        else f"not well formed ({type(error).__name__}: {said})"
    )


LOADERS: dict[str, Callable[[str], Json]] = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": _yaml}
"""By the file's last suffix. JSON is YAML 1.2."""
