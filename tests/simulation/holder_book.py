"""The auditor's book of holders: who writes for an attempt must have shown, or looked, within the lease (5.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from storage_schema.keys import (
    LinkId,
    parse_link_key,
    parse_manifest_key,
    parse_worker_key,
)
from storage_schema.records import Heartbeat, Link, LinkKind

if TYPE_CHECKING:
    from tests.simulation.store import Call

SLACK_S = 1.0
"""A holder looks at its clock every 0.2 s, and then sends."""
SLACK_SHARE = 0.03
"""Clocks run by up to a hundredth too slow."""


class HolderBook:
    """When each holder last knew that its attempt was its own, in virtual time.

    Checked are manifests and links, which make data count. A flush may be under way with several segments at once;
    nothing trusts a segment that no manifest or link names.
    """

    def __init__(self, lease_s: float, fail: Callable[[str], None]) -> None:
        self._longest_s = lease_s * (1 + SLACK_SHARE) + SLACK_S
        self._lease_s = lease_s
        self._fail = fail
        self._sure_at: dict[tuple[str, LinkId], float] = {}
        """Process and attempt, to when."""
        self._sent: set[tuple[str, str]] = set()
        self._claims: set[bytes] = set()

    def sent(self, call: Call, now: float) -> None:
        """Check a create when it is sent for the first time."""
        attempt, name = _written_for(call), call.actor.name
        if attempt is None:
            return
        if parse_link_key(call.key) == attempt:  # a claim: the lease counts from when this one was first sent
            if call.data not in self._claims:
                self._claims.add(call.data)
                self._sure_at[name, attempt] = now
        elif (name, call.key) not in self._sent:
            self._sent.add((name, call.key))
            silent_s = now - self._sure_at.get((name, attempt), 0.0)
            if silent_s > self._longest_s:
                self._fail(
                    f"{name} writes {call.key} and has neither shown itself nor looked for {silent_s:.1f} s; "
                    f"the lease is {self._lease_s:g} s"
                )

    def answered(self, call: Call, now: float) -> None:
        """Take note of what a holder has learnt: a heartbeat has arrived, or nothing stands behind its claim."""
        if call.verb == "replace" and (worker := parse_worker_key(call.key)) is not None:
            for held in Heartbeat.from_bytes(call.data, worker).holding:
                self._sure(call, LinkId(held.spec, held.attempt), call.sent)
        elif call.verb == "get" and call.answer is None and (link := parse_link_key(call.key)) is not None:
            self._sure(call, replace(link, link=link.link - 1), now)

    def _sure(self, call: Call, attempt: LinkId, when: float) -> None:
        place = (call.actor.name, attempt)
        self._sure_at[place] = max(when, self._sure_at.get(place, 0.0))


def _written_for(call: Call) -> LinkId | None:
    """Return the attempt that a create belongs to; of a claim, its own."""
    key = call.key
    if (manifest := parse_manifest_key(key)) is not None:
        return LinkId(manifest.spec, manifest.attempt)
    if (id := parse_link_key(key)) is not None:
        kind = Link.from_bytes(call.data, id).kind
        if kind is LinkKind.CLAIM:
            return id
        if kind in (LinkKind.DONE, LinkKind.FAIL, LinkKind.RELEASE):
            return replace(id, link=id.link - 1)
    return None
