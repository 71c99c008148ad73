"""What a worker says of the machine that it runs on, so that a study's cost can be told (PROTOCOL.md, 6.4 and 6.6).

A launcher tells the worker by environment variables; nothing asks a provider. The facts stand in the heartbeat, for
who looks at a study now, and in every claim, for ever: heartbeats go away with their workers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage_schema.errors import UserError, nearest

SPOT = "spot"
ON_DEMAND = "on-demand"
LIFECYCLES = (SPOT, ON_DEMAND)
MAX_PRICE = 100_000.0
"""Dollars for an hour of one machine."""
MAX_SLOTS = 256
"""Trials at a time of one worker."""
MAX_COUNT = 10_000
"""Slots or GPUs of one machine, as records may tell."""
VARIABLES = {
    "HPO_PIPE_PROVIDER": "provider",
    "HPO_PIPE_INSTANCE_TYPE": "instance_type",
    "HPO_PIPE_REGION": "region",
    "HPO_PIPE_LIFECYCLE": "lifecycle",
    "HPO_PIPE_PRICE_PER_HOUR": "price_per_hour",
    "HPO_PIPE_SUBMISSION": "submission",
}
"""Environment variable to fact."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

MachineFacts = tuple[tuple[str, str], ...]
"""Pairs of name and text, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts as values. None, or an empty text: it was not said."""

    provider: str = ""
    instance_type: str = ""
    region: str = ""
    lifecycle: str = ""
    """``spot`` or ``on-demand``."""
    price_per_hour: float | None = None
    """Dollars for the whole machine, as the user or the launcher gave it."""
    slots: int | None = None
    """Trials at a time, which share the machine and its price."""
    gpus: int | None = None
    """GPUs of the machine that are dealt out."""
    started_at: float | None = None
    """When the worker started, seconds since the epoch on its own clock."""


def facts_of(environment: Mapping[str, str], price_per_hour: float | None = None) -> MachineFacts:
    """Return what the environment says of this machine; `price_per_hour`, dollars, goes before the variable.

    Raises:
        UserError: a variable that does not hold what it should; an empty one counts as not set.
    """
    given = {
        fact: _checked(name, value) for name, fact in VARIABLES.items() if (value := environment.get(name))
    }
    if price_per_hour is not None:
        given["price_per_hour"] = _price("--price-per-hour", str(price_per_hour))
    return tuple(sorted(given.items()))


def machine_of(facts: Sequence[tuple[str, str]]) -> Machine:
    """Read facts back. They are for reports: one that makes no sense counts as not said."""
    told = dict(facts)
    slots, gpus = _number(told.get("slots")), _number(told.get("gpus"))
    price = _number(told.get("price_per_hour"))
    return Machine(
        provider=_word(told.get("provider")),
        instance_type=_word(told.get("instance_type")),
        region=_word(told.get("region")),
        lifecycle=told["lifecycle"] if told.get("lifecycle") in LIFECYCLES else "",
        price_per_hour=price if price is not None and price <= MAX_PRICE else None,
        slots=int(slots) if slots is not None and 1 <= slots <= MAX_COUNT else None,
        gpus=int(gpus) if gpus is not None and gpus <= MAX_COUNT else None,
        started_at=_number(told.get("started_at")),
    )


def _checked(name: str, value: str) -> str:
    if name == "HPO_PIPE_PRICE_PER_HOUR":
        return _price(name, value)
    if name == "HPO_PIPE_LIFECYCLE" and value not in LIFECYCLES:
        raise UserError(
            f"{name} is {value[:40]!r}, expected {' or '.join(LIFECYCLES)}{nearest(value, LIFECYCLES)}"
        )
    if not _WORD.fullmatch(value):
        raise UserError(f"{name} is {value[:80]!r}, expected 1 to 64 letters, digits, dots, - and _")
    return value


def _price(name: str, value: str) -> str:
    found = _number(value)
    if found is None or found > MAX_PRICE:
        raise UserError(f"{name} is {value[:40]!r}, expected dollars for an hour, from 0 to {MAX_PRICE:g}")
    return repr(found)


def _number(text: str | None) -> float | None:
    """Return a finite number of at least 0, or None."""
    if text is None or len(text) > 40:
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _word(text: str | None) -> str:
    return text if text is not None and _WORD.fullmatch(text) else ""
