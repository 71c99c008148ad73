"""What attempts at specs have cost, as far as their claims, their last links and the heartbeats tell. Pure.

An hour of a slot costs what an hour of its machine does, divided by its slots (PROTOCOL.md, 5.11, step 5).
"""

from __future__ import annotations

from collections.abc import Callable

from storage_schema.machine import machine_of
from storage_schema.records import Link

MAX_HELD_S = 10 * 365 * 86_400.0
"""No attempt takes longer: a clock that says so was wrong."""

LastBeat = Callable[[str], float | None]
"""Worker to when its heartbeat was last replaced, on the store's clock; None: there is none."""


def no_beat(worker: str) -> float | None:
    """Know of no heartbeat."""
    return None


def dollars(claim: Link, seconds: float) -> float | None:
    """Return what an attempt of so many seconds costs; None where its claim does not say what the machine costs."""
    machine = machine_of(claim.machine)
    if machine.price_per_hour is None or machine.slots is None:
        return None
    return machine.price_per_hour / machine.slots * min(max(0.0, seconds), MAX_HELD_S) / 3600


def held_s(claimed_at: float, last_beat: float | None, now: float, lease_s: float) -> float:
    """Return for how long a claim has been held that its holder has not closed, seconds.

    Up to now, or where the holder gave no sign of life within the last lease, up to the last one: a machine that died
    on Friday costs nothing more, though a coordinator notices on Monday. All times are the store's.
    """
    sign = claimed_at if last_beat is None else max(claimed_at, last_beat)
    return max(0.0, (now if now - sign < lease_s else sign) - claimed_at)
