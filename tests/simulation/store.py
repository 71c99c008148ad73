"""The store as one process sees it: real verbs, virtual latency, and every misfortune of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from storage_schema.errors import AccessDenied, OutcomeUnknown, StoreUnavailable
from storage_schema.keys import WORKERS
from storage_schema.store import Blob, Created, Stat, Unchanged
from storage_schema.store.key_rules import checked_key, checked_prefix
from tests.simulation.faults import Fault
from tests.simulation.hub import FOREVER

if TYPE_CHECKING:
    from tests.simulation.processes import Actor
    from tests.simulation.world import World

WHOLE = ("log/", "chain/", "study.json")
"""Where a truncated body is, in most seeds, noticed by the client library, as the real stores notice it."""
TIME_OUT_S = (0.3, 4.0)


class Call:
    """One request on its way."""

    __slots__ = ("actor", "answer", "data", "extra", "key", "landed", "listing_began", "sent", "verb")

    def __init__(self, actor: Actor, verb: str, key: str, data: bytes, extra: str | None) -> None:
        self.actor = actor
        self.verb = verb
        self.key = key
        self.data = data
        self.extra = extra
        """get: the version that the caller has; list: start_after."""
        self.listing_began = actor.listing_began
        """When the author's newest listing of the workers began, before it sent this."""
        self.sent = actor.process.hub.now
        self.answer: Any = None
        self.landed = 0


class ProcessStore:
    """See :class:`storage_schema.store.Store`."""

    def __init__(self, world: World, actor: Actor) -> None:
        self.url = world.store.url
        self._world = world
        self._actor = actor
        self._rng = actor.process.rng
        self._latency_s = 0.0005 if world.recipe.near else 0.03

    def create(self, key: str, data: bytes) -> Created:
        answer: Created = self._call("create", checked_key(key), data)
        return answer

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        answer: Blob | Unchanged | None = self._call("get", checked_key(key), extra=unless)
        return answer

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        yield from self._call("list", checked_prefix(prefix), extra=start_after)

    def replace(self, key: str, data: bytes) -> None:
        self._call("replace", checked_key(key), data)

    def delete(self, key: str) -> None:
        self._call("delete", checked_key(key))

    def _call(self, verb: str, key: str, data: bytes = b"", extra: str | None = None) -> Any:
        actor, world = self._actor, self._world
        actor.process.check()
        if verb == "list" and key == WORKERS:
            actor.listing_began = world.hub.now
        call = Call(actor, verb, key, data, extra)
        if verb in ("replace", "create"):
            world.auditor.sent(call, world.hub.now)
        fault = world.weather.fault(actor, verb)
        roll = self._rng.random()
        there_s, back_s = self._latency_s * (0.1 + roll), self._latency_s * (0.1 + (roll * 977.0) % 1.0)
        if fault is None:
            world.hub.after(there_s, lambda: world.land(call))
            actor.process.block(there_s + back_s)
        else:
            world.faulted(actor, fault, verb, key)
            self._suffer(call, fault, there_s, back_s)
        if fault in _SHOWN_OTHERWISE:
            call.answer = self._distorted(call, fault)
        world.answered(call, fault)
        return call.answer

    def _suffer(self, call: Call, fault: Fault, there_s: float, back_s: float) -> None:
        """Let a fault happen: wait as long as it takes, and raise what the client library would."""
        world, process, rng = self._world, self._actor.process, self._rng
        time_out_s = rng.uniform(*TIME_OUT_S)
        match fault:
            case Fault.CRASH_BEFORE:
                world.hub.after(0.0, lambda: world.kill(self._actor))
                process.block(FOREVER)
            case Fault.CRASH_AFTER:
                world.hub.after(there_s, lambda: world.land(call))
                world.hub.after(there_s + back_s / 2, lambda: world.kill(self._actor))
                process.block(FOREVER)
            case Fault.LOST_REQUEST:
                process.block(time_out_s)
                self._no_answer(call, fault)
            case Fault.LOST_ANSWER:
                world.hub.after(there_s, lambda: world.land(call))
                process.block(time_out_s)
                self._no_answer(call, fault)
            case Fault.LATE:
                world.land_late(call, time_out_s * rng.random() + world.weather.lateness_s(rng))
                process.block(time_out_s)
                self._no_answer(call, fault)
            case Fault.SENT_TWICE:
                again_s = there_s + rng.uniform(0.05, 2.0)
                world.hub.after(there_s, lambda: world.land(call))
                world.hub.after(again_s, lambda: world.land(call))
                process.block(again_s + back_s)
            case Fault.SLOW_DOWN:
                process.block(there_s + back_s)
                self._refuse(call, fault, StoreUnavailable("503 SlowDown"))
            case Fault.DENIED:
                process.block(there_s + back_s)
                self._refuse(call, fault, AccessDenied("403: the credentials have expired"))
            case Fault.SLOW:
                slow_s = rng.uniform(0.5, 6.0)
                world.hub.after(there_s + slow_s * rng.random(), lambda: world.land(call))
                process.block(there_s + slow_s + back_s)
            case Fault.PAUSE:
                world.hub.after(there_s, lambda: world.land(call))
                world.hub.after(there_s * 2 * rng.random(), lambda: world.pause(self._actor))
                process.block(there_s + back_s)
            case _:
                world.hub.after(there_s, lambda: world.land(call))
                process.block(there_s + back_s)

    def _no_answer(self, call: Call, fault: Fault) -> None:
        reading = call.verb in ("get", "list")
        kind = StoreUnavailable if reading else OutcomeUnknown
        self._refuse(call, fault, kind(f"{call.verb} {call.key}: no answer"))

    def _refuse(self, call: Call, fault: Fault, error: StoreUnavailable) -> None:
        self._world.answered(call, fault, error)
        raise error

    def _distorted(self, call: Call, fault: Fault) -> Any:
        answer = call.answer
        if fault is Fault.SHORT:
            share = self._rng.choice((0.2, 0.5, 1.0))
            return [stat for stat in answer if self._rng.random() >= share]
        if fault is Fault.OLD_TIMES:
            back_s = self._rng.choice((1.0, 10.0, 3600.0))
            return [replace(stat, modified=stat.modified - back_s) for stat in answer]
        if fault is Fault.STALE:
            older = self._world.store.older(call.key)
            if isinstance(answer, Blob) and older:
                blob = self._rng.choice(older)
                return Unchanged.UNCHANGED if blob.version == call.extra else blob
            return answer
        if not isinstance(answer, Blob) or call.key.startswith("proof/"):
            return answer
        if call.key.startswith(WHOLE) and not self._world.recipe.raw_truncation:
            self._refuse(call, fault, StoreUnavailable(f"get {call.key}: the body ended early"))
        self._actor.truncated.add(call.key)
        return replace(answer, data=answer.data[: math.floor(len(answer.data) * self._rng.random())])


_SHOWN_OTHERWISE = frozenset({Fault.TRUNCATED, Fault.STALE, Fault.SHORT, Fault.OLD_TIMES})
