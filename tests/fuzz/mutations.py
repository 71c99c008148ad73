"""Small harm to good bytes: bit by bit, and value by value within JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from storage_schema.codec import sha256

Path = tuple[Any, ...]

_DEEP, _HUGE = "\x00deep\x00", "\x00huge\x00"
ODD_TEXTS = (
    "",
    "\0",
    "line\nend",
    "\ud800",
    "\u202e\u2066",
    "\ufb01\uff11",  # what NFKC makes another text of
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "~root",
    "C:\\x",
    "a" * 70_000,
    "\x1b]0;x\x07",
    "{lr}",
    "${args}",
    "1e999",
    "nan",
    "00000000-000",
    "99999999-999",
    "00000000-0000",
    "log/00000000.json",
    "checkpoints/99999999/9999999999-99999999-999.9999/manifest.json",
    "metrics/00000000/000.0000.000000.parquet",
)
ODD_NUMBERS = (
    0,
    1,
    -1,
    64,
    9_999,
    10_000,
    10**8 - 1,
    10**8,
    10**10 - 1,
    10**10,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**30,
    10**400,
    -0.0,
    0.5,
    5e-324,
    1e300,
    1.7976931348623157e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    _DEEP,
    _HUGE,
    *ODD_TEXTS,
    *ODD_NUMBERS,
)


def mutated_bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return `data` with one to four small changes."""
    for _ in range(rng.randrange(1, 5)):
        data = _BYTE_CHANGES[rng.randrange(len(_BYTE_CHANGES))](data, rng, others)
    return data


def mutated_json(data: bytes, rng: random.Random, *, checked: bool) -> bytes:
    """Return a JSON text with one to three of its values changed; `checked`: often with a record's check that holds."""
    value = json.loads(data)
    if isinstance(value, dict):
        value.pop("check", None)
    for _ in range(rng.randrange(1, 4)):
        value = _changed(value, rng)
    text = json.dumps(value, ensure_ascii=bool(rng.randrange(2)), separators=(",", ":"))
    depth = (3, 70, 900, 20_000)[rng.randrange(4)]
    text = text.replace(json.dumps(_DEEP), "[" * depth + "]" * depth).replace(json.dumps(_HUGE), "1e999")
    found = text.encode("utf-8", "surrogatepass")
    if checked and isinstance(value, dict) and value and rng.randrange(4):
        return found[:-1] + b',"check":"' + sha256(found[:-1])[:16].encode() + b'"}'
    return found


def _changed(value: Any, rng: random.Random) -> Any:
    places = list(_places(value, ()))
    place = places[rng.randrange(len(places))]
    if not place:
        return _odd(rng) if rng.randrange(10) == 0 else value
    holder = value
    for step in place[:-1]:
        holder = holder[step]
    _HOLDER_CHANGES[rng.randrange(len(_HOLDER_CHANGES))](holder, place[-1], rng)
    return value


def _places(value: Any, here: Path) -> Any:
    yield here
    if len(here) < 12:
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for step, inner in list(items)[:200]:
            yield from _places(inner, (*here, step))


def _odd(rng: random.Random) -> Any:
    found = ODD_VALUES[rng.randrange(len(ODD_VALUES))]
    return json.loads(json.dumps(found)) if isinstance(found, list | dict) else found


def _replace(holder: Any, step: Any, rng: random.Random) -> None:
    holder[step] = _odd(rng)


def _remove(holder: Any, step: Any, rng: random.Random) -> None:
    del holder[step]


def _nudge(holder: Any, step: Any, rng: random.Random) -> None:
    found = holder[step]
    if isinstance(found, bool | None) or not isinstance(found, int | float):
        return _replace(holder, step, rng)
    by = (-1, 1, 0.5, 10**6)[rng.randrange(4)]
    holder[step] = found + by if abs(found) < 1e300 else by
    return None


def _repeat(holder: Any, step: Any, rng: random.Random) -> None:
    if isinstance(holder, list):
        small = not isinstance(holder[step], list | dict) and len(str(holder[step])) < 100
        holder[step:step] = [holder[step]] * (1, 3, 3_000 if small else 30)[rng.randrange(3)]
    else:
        holder[ODD_TEXTS[rng.randrange(len(ODD_TEXTS))]] = holder[step]


def _rename(holder: Any, step: Any, rng: random.Random) -> None:
    if isinstance(holder, dict):
        holder[ODD_TEXTS[rng.randrange(len(ODD_TEXTS))]] = holder.pop(step)
    else:
        holder[step] = {"name": holder[step]}


def _wrap(holder: Any, step: Any, rng: random.Random) -> None:
    for _ in range((1, 3, 70)[rng.randrange(3)]):
        holder[step] = [holder[step]] if rng.randrange(2) else {"a": holder[step]}


_HOLDER_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _replace,
    _replace,
    _remove,
    _nudge,
    _repeat,
    _rename,
    _wrap,
)


def _flip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return (
        data[:place]
        + bytes([b ^ (1 << rng.randrange(8)) for b in data[place : place + 1]])
        + data[place + 1 :]
    )


def _cut(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.randrange(1, 17) :]


def _insert(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    new = _PIECES[rng.randrange(len(_PIECES))]
    return data[:place] + new + data[place + rng.randrange(2) * len(new) :]


def _double(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place : place + 40] * rng.randrange(2, 50) + data[place:]


def _splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = others[rng.randrange(len(others))] if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_PIECES = (
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\x0f",  # a varint of 32 bits
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"[[[[[[[[",
    b'{"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 500,
    b"\r\n",
    b"\x1b[2J",
    b"../",
)
_BYTE_CHANGES: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _drop,
    _insert,
    _insert,
    _double,
    _splice,
)
