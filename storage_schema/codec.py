"""Canonical JSON: one byte string for one value, and bounded, strict reading of a stranger's bytes.

Non-finite numbers are never written; where a measurement is not finite the record holds ``null``.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NoReturn

from storage_schema.errors import DamagedRecord

Json = Any
"""A value of JSON's types: dict, list, str, int, float, bool, None."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
"""Levels of a value that is kept as it is: what was read at one depth of the stack is written again at any other."""
CHECK_DIGITS = 16
"""Hexadecimal digits of SHA-256 in a record's `check`: 64 bits, far more than chance damage needs."""


def encode(value: Json) -> bytes:
    """Return the canonical UTF-8 JSON of `value`: sorted keys, no blanks, finite numbers only."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def encode_record(value: dict[str, Json]) -> bytes:
    """Return the bytes of a record: canonical JSON, and behind all fields a `check` over the bytes before it.

    A folder keeps no checksums: without this, a flipped bit in a digit would be read as another number.
    """
    body = encode(value)[:-1]
    return body + _check(body)


def decode(data: bytes, key: str) -> dict[str, Json]:
    """Parse a stored JSON object, without its `check`; `key` names it in errors.

    Raises:
        DamagedRecord: not UTF-8, not JSON, not an object, too large, nested too deep, or against its `check`.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise DamagedRecord(key, f"{len(data)} bytes, more than {MAX_RECORD_BYTES}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
        )
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(key, f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DamagedRecord(key, f"expected an object, found {type(value).__name__}")
    if b"\\u" in data:
        _check_characters(value, key)
    if "check" in value:
        _verify(data.rstrip(b" \t\r\n"), key)
        del value["check"]
    return value


def sha256(data: bytes) -> str:
    """Return the lower-case hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def finite(value: float) -> float | None:
    """Return `value`, or None (JSON's null) where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


def _check(body: bytes) -> bytes:
    return b',"check":"%s"}' % sha256(body)[:CHECK_DIGITS].encode()


def is_shallow(value: Json) -> bool:
    """Tell whether a value has at most :data:`MAX_DEPTH` levels of objects and arrays."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return True
        level = [
            item for holder in level for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return False


def _check_characters(value: Json, key: str) -> None:
    """Refuse half of a surrogate pair, which Python's parser takes and no author can write."""
    try:
        encode(value)
    except (ValueError, RecursionError):
        raise DamagedRecord(key, "not valid JSON: half of a surrogate pair, or nested too deep") from None


_CHECK_BYTES = len(_check(b""))


def _verify(data: bytes, key: str) -> None:
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if check != _check(body):
        raise DamagedRecord(key, "damaged: its bytes do not fit its `check`")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value
