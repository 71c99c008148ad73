"""When the machine is about to go: what is still held is given back as it is (PROTOCOL.md, 5.9, step 3)."""

from __future__ import annotations

from dataclasses import replace

from storage_schema.errors import StoreUnavailable
from storage_schema.records import Link, LinkKind
from storage_schema.store import create_settled
from workers.lease import Holding, Lease, Lost
from workers.world import World

REASON = "interrupted; the time was up before its newest checkpoint was uploaded"
LIMIT_S = 2.0
"""For each attempt: how long a store that is away is waited for."""


def give_back(world: World, lease: Lease) -> None:
    """Release every attempt that is still held, over the head of the thread that looks after it.

    That thread may be in the middle of an upload. It writes nothing more for the attempt: `Holding.lost` stops it
    before its next request, and where it is just closing the attempt itself, the store lets one of the two links win.
    """
    for holding in lease.holdings():
        try:
            holding.confirm()
            holding.lost = REASON
            link = _release(world, lease, holding)
            wait = world.patience(lambda: False, LIMIT_S)
            create_settled(world.store, link.key, link.to_bytes(), wait=wait)
        except Lost:
            continue
        except StoreUnavailable as error:
            world.say(f"trial {holding.trial} could not be given back: {error}")
        else:
            lease.let_go(holding, closed=True)
            world.say(f"trial {holding.trial} ({holding.claim.id.spec}): given back: {REASON}")


def _release(world: World, lease: Lease, holding: Holding) -> Link:
    claim, now = holding.claim, world.clock.now()
    wall_s = round(max(0.0, now - claim.at), 3)
    link = claim.following(LinkKind.RELEASE, token=world.token(), author=claim.author, at=now)
    return replace(
        link,
        reason=REASON,
        resource=holding.resource,
        wall_s=wall_s,
        gpu_s=round(wall_s * lease.gpu_share(), 3),
    )
