"""The proof that a store keeps its rules: what `doctor` runs, what `study.json` holds, what a worker repeats.

A study rests on one thing: of many who create a key, one wins, and its bytes stand. Servers that silently ignore
conditions exist, and so do ones that look first and write later; so every store is tried before it is trusted.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json
from storage_schema.errors import StoreRefused
from storage_schema.keys import PROOF
from storage_schema.store import proof_checks
from storage_schema.store.check import Check, Verdict
from storage_schema.store.proof_bench import Bench
from storage_schema.store.protocol import Store

ROUNDS = 50
"""Contested creates of a full proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds that one verb took, one call after the other."""

    median: float
    p95: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found out about a store."""

    url: str
    checks: tuple[Check, ...]
    latency_ms: dict[str, Latency] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether a study may use the store; warnings do not forbid it."""
        return all(check.verdict is not Verdict.REFUSED for check in self.checks)

    def demand(self) -> None:
        """Raise StoreRefused with every reason, where there is one."""
        reasons = [
            f"{check.name}: {check.detail}" for check in self.checks if check.verdict is Verdict.REFUSED
        ]
        if reasons:
            raise StoreRefused(f"{self.url} cannot hold a study. " + " ".join(reasons))

    def to_json(self) -> dict[str, Json]:
        """Return the proof as `study.json` holds it."""
        checks: list[Json] = [
            {"name": check.name, "verdict": check.verdict.value, "detail": check.detail}
            for check in self.checks
        ]
        latency: dict[str, Json] = {
            verb: {"median": round(found.median, 3), "p95": round(found.p95, 3), "samples": found.samples}
            for verb, found in self.latency_ms.items()
        }
        return {"ok": self.ok, "checks": checks, "latency_ms": latency}


def prove(store: Store, rounds: int = ROUNDS, clock: Clock | None = None) -> Proof:
    """Try every rule of :class:`Store` under ``proof/<token>/``, and clean up.

    Args:
        store: any store; one that has a method ``own_checks()`` is asked for its own findings too.
        rounds: contested creates, each of 16 contenders.
        clock: this machine's, to compare with the store's.

    Raises:
        StoreUnavailable: the store does not answer, or denies access, so nothing is known about it.
    """
    clock = clock or SystemClock()
    bench = Bench(store, f"{PROOF}{secrets.token_hex(8)}/")
    try:
        checks = [
            _run("exclusive create", lambda: proof_checks.exclusive_create(bench)),
            _run("read and list after create", lambda: proof_checks.read_and_list_after_create(bench)),
            _run("missing object", lambda: proof_checks.missing_object(bench)),
            _run("bytes", lambda: proof_checks.bytes_round_trip(bench)),
            _run("listing order", lambda: proof_checks.listing_order(bench)),
            _run("replace", lambda: proof_checks.replace(bench)),
            _run("conditional read", lambda: proof_checks.conditional_read(bench)),
            _run("contested creates", lambda: proof_checks.contested_creates(bench, rounds)),
            _run("modified times", lambda: proof_checks.modified_times(bench, clock)),
            _run("clock", lambda: proof_checks.clock_difference(bench, clock)),
            _run("delete", lambda: proof_checks.delete(bench)),
        ]
        own: Callable[[], tuple[Check, ...]] | None = getattr(store, "own_checks", None)
        checks += own() if own else ()
    finally:
        bench.clean_up()
    return Proof(url=store.url, checks=tuple(checks), latency_ms=_latencies(bench))


def prove_quickly(store: Store, token: str | None = None) -> Proof:
    """Try, in five requests, that a second create is refused and that what was created is read back.

    Args:
        store: any store.
        token: names the scratch that it is tried on; drawn if None.

    Raises:
        StoreUnavailable: the store does not answer, or denies access.
    """
    bench = Bench(store, f"{PROOF}{token or secrets.token_hex(8)}/")
    try:
        checks = (_run("exclusive create", lambda: proof_checks.exclusive_create(bench)),)
    finally:
        bench.clean_up()
    return Proof(url=store.url, checks=checks, latency_ms=_latencies(bench))


def _run(name: str, check: Callable[[], tuple[Verdict, str]]) -> Check:
    try:
        verdict, detail = check()
    except StoreRefused as refused:
        verdict, detail = Verdict.REFUSED, str(refused)
    return Check(name=name, verdict=verdict, detail=detail)


def _latencies(bench: Bench) -> dict[str, Latency]:
    found = {}
    for verb, times in bench.times_ms.items():
        ordered = sorted(times)
        middle, late = len(ordered) // 2, min(len(ordered) - 1, int(0.95 * len(ordered)))
        found[verb] = Latency(median=ordered[middle], p95=ordered[late], samples=len(ordered))
    return found
