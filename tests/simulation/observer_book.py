"""The auditor's book of observers: who has stood still must not judge at once (PROTOCOL.md, 5.12, step 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage_schema.keys import WORKERS, parse_link_key
from storage_schema.records import Link, LinkKind

if TYPE_CHECKING:
    from tests.simulation.store import Call

SLACK = 0.05
"""Of a lease: a clock is read a little before a request is sent."""


@dataclass(slots=True)
class _Observer:
    """One long-running coordinator, in virtual time."""

    looked_at: float | None = None
    """When its newest listing of the workers was answered."""
    began: float = 0.0
    """When that listing, or the first try at it, was sent."""
    trying: float | None = None
    """When the first try at the next one was sent, if it has failed so far."""
    judge_from: float = -math.inf
    lenient_until: float = -math.inf
    """Until then it may, for what happened before, take another pause for granted."""


class ObserverBook:
    """When each coordinator looked; to be asked only where clocks are good."""

    def __init__(self, lease_s: float, holders: Callable[[], int], fail: Callable[[str], None]) -> None:
        """Open it; `holders` tells how many workers hold claims: of many, some may be spared (step 4)."""
        self._lease_s = lease_s
        self._holders = holders
        self._fail = fail
        self._observers: dict[str, _Observer] = {}

    def answered(self, call: Call, now: float, error: Exception | None) -> None:
        """Take note that a coordinator's request was answered."""
        if call.verb != "list" or call.key != WORKERS:
            return
        seen = self._observers.setdefault(call.actor.name, _Observer())
        if error is not None:
            seen.trying = call.sent if seen.trying is None else seen.trying
            return
        seen.began = call.sent if seen.trying is None else seen.trying
        gap = 0.0 if seen.looked_at is None else seen.began - seen.looked_at
        if gap > (0.5 + SLACK) * self._lease_s and seen.began > seen.lenient_until:
            seen.judge_from = seen.began + (0.5 - SLACK) * self._lease_s
        if gap > (0.5 - SLACK) * self._lease_s or self._holders() >= 4:
            seen.lenient_until = now + 2.5 * self._lease_s
        seen.looked_at, seen.trying = now, None

    def sent(self, call: Call) -> None:
        """Check a create that a coordinator sends: a fence must be allowed by the listing that it rests on."""
        id, seen = parse_link_key(call.key), self._observers.get(call.actor.name)
        if id is None or seen is None or Link.from_bytes(call.data, id).kind is not LinkKind.FENCE:
            return
        if seen.began < seen.judge_from:
            self._fail(
                f"{call.actor.name} fences {call.key} by a listing of {seen.began:.3f}; it had stood still, and "
                f"must judge nobody before {seen.judge_from:.3f}"
            )
