"""Numbers and parameters as people read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from storage_schema.codec import Json


def number(value: float | None) -> str:
    """Return a number with six significant digits, or ``-`` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e6):
        return str(int(value))
    return f"{value:.6g}"


def plain(value: Json) -> str:
    """Return a parameter's value on one line, exactly, as ``enqueue`` reads it back: JSON, or plain text."""
    if isinstance(value, str) and value.isprintable() and not _reads_as_json(value):
        return value
    return json.dumps(value)


def short(value: Json) -> str:
    """Return a parameter's value for people: floats with six significant digits."""
    return number(value) if isinstance(value, float) else plain(value)


def configuration(parameters: Mapping[str, Json]) -> str:
    """Return parameters as ``name=value`` pairs, for people."""
    return " ".join(f"{name}={short(value)}" for name, value in parameters.items())


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def duration(seconds: float) -> str:
    """Return a duration as its two greatest units: ``3 h 5 min``, ``12 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    total = round(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(i for i, (_, size) in enumerate(units) if total >= size)
    parts = []
    for name, size in units[first : first + 2]:
        count, total = divmod(total, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def percent(part: float, whole: float) -> str:
    """Return how much of `whole` is used."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "100 %"


def counted(count: int, one: str, many: str = "") -> str:
    """Return ``1 worker``, ``3 workers``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int) -> str:
    """Return finite `values` drawn as blocks, thinned to `width` characters; empty for no values."""
    if not values:
        return ""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    if high <= low:
        return BLOCKS[3] * len(values)
    return "".join(BLOCKS[round((v - low) / (high - low) * (len(BLOCKS) - 1))] for v in values)
