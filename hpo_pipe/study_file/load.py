"""From a file's bytes to plain tables. TOML by tomllib; YAML 1.2, in which ``1e-4`` is a number."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from storage_schema.codec import Json
from storage_schema.errors import StudyFileError

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
"""Values in a YAML file with its aliases written out: a bomb of nested aliases is refused before it unfolds."""
MAX_DEPTH = 50


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
    if len(data) > MAX_BYTES:
        raise StudyFileError(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        value = loader(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (tomllib.TOMLDecodeError, YAMLError, ValueError, OverflowError) as error:
        raise StudyFileError(f"{path}: {_said(error)}") from None
    except RecursionError:
        raise StudyFileError(f"{path}: nested too deeply") from None
    if not isinstance(value, dict):
        raise StudyFileError(f"{path}: holds {type(value).__name__}, expected tables like [metric]")
    return value


def _toml(text: str) -> Json:
    return tomllib.loads(text)


def _yaml(text: str) -> Json:
    graph = YAML(typ="safe", pure=True).compose(text)
    _count(graph, MAX_NODES, MAX_DEPTH)
    return YAML(typ="safe", pure=True).load(text)


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
    return str(error).split("\n", 1)[0]


LOADERS: dict[str, Callable[[str], Json]] = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": _yaml}
"""By the file's last suffix. JSON is YAML 1.2."""
