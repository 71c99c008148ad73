"""Manifests as YAML. Pure.

Every text that any version of YAML could take for something else stands in double quotes: kubectl's reader still takes
`yes` for true and 1_0 for ten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from storage_schema.codec import Json

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def yaml_text(manifest: Mapping[str, Json]) -> str:
    """Return a manifest in block style, its keys in the order that they have."""
    return "\n".join(_mapping(manifest, 0)) + "\n"


def _mapping(value: Mapping[str, Json], indent: int) -> list[str]:
    lines = []
    for key, item in value.items():
        lines += _entry(f"{' ' * indent}{_text(key)}:", item, indent + 2)
    return lines


def _sequence(value: list[Json], indent: int) -> list[str]:
    lines = []
    for item in value:
        if isinstance(item, dict) and item:
            first, *rest = _mapping(item, indent + 2)
            lines += [f"{' ' * indent}- {first.lstrip()}", *rest]
        else:
            lines += _entry(f"{' ' * indent}-", item, indent + 2)
    return lines


def _entry(head: str, value: Json, indent: int) -> list[str]:
    if isinstance(value, dict) and value:
        return [head, *_mapping(value, indent)]
    if isinstance(value, list) and value:
        return [head, *_sequence(value, indent)]
    return [f"{head} {_text(value) if isinstance(value, str) else json.dumps(value)}"]


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
