"""What a coordinator saw and decided on, as its log entry holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage_schema.codec import Json
from storage_schema.keys import MAX_LINK, MAX_RESOURCE, SpecId
from storage_schema.records.checkpoint import CheckpointRef
from storage_schema.records.curve import Curve, curves_json, curves_of
from storage_schema.records.reading import Fields

OUTCOMES = ("done", "fail", "stop")
MAX_DOLLARS = 1e15
"""Of one spec's attempts, or of all open ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledSpec:
    """A fact: how a spec's chain ended."""

    spec: SpecId
    link: int
    """The link that ended it."""
    outcome: str
    """``done``, ``fail`` or ``stop``."""
    resource: int = 0
    """The greatest resource reported."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Metric to its canonical curve since the spec's start, thinned to at most 64 points."""
    checkpoint: CheckpointRef | None = None
    wall_s: float = 0.0
    """All attempts together, as far as they left a link that says so."""
    gpu_s: float = 0.0
    attempts: int = 1
    reason: str = ""
    cost: float = 0.0
    """Dollars: of the attempts whose machines have a price."""
    priced: int = 0
    """How many of the attempts `cost` is of."""

    @property
    def unpriced(self) -> int:
        """Attempts whose cost is not known."""
        return max(0, self.attempts - self.priced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A fact: what the holder of an open spec has reported at the study's milestones."""

    spec: SpecId
    attempt: int
    """Whose heartbeat told it: the claim that was the chain's last link."""
    curves: Mapping[str, Curve]
    """Metric to its points at milestones that the log does not hold yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a coordinator saw and decided on."""

    now: float
    """Seconds since the epoch on the store's clock."""
    demand: int
    """How many specs should be open (waiting or running), from the live slots."""
    settled: tuple[SettledSpec, ...] = ()
    """Newly settled specs in the order of their ids."""
    progress: tuple[Progress, ...] = ()
    """Of open specs, in the order of their ids; only where the study has milestones."""
    open_cost: float = 0.0
    """Dollars that open specs have cost so far; only where the study has a budget."""


def facts_json(facts: Facts) -> Json:
    """Return facts as an entry holds them."""
    value: dict[str, Json] = {
        "now": facts.now,
        "demand": facts.demand,
        "settled": [_settled_json(s) for s in facts.settled],
    }
    if facts.progress:
        value["progress"] = [
            {"spec": str(p.spec), "attempt": p.attempt, "curves": curves_json(p.curves)}
            for p in facts.progress
        ]
    if facts.open_cost:
        value["open_cost"] = facts.open_cost
    return value


def facts_of(f: Fields) -> Facts:
    """Read back what :func:`facts_json` wrote."""
    return Facts(
        now=f.number("now"),
        demand=f.integer("demand"),
        settled=tuple(_settled(item) for item in f.each("settled")),
        progress=tuple(_progress(item) for item in f.each("progress")),
        open_cost=_dollars(f, "open_cost"),
    )


def _progress(f: Fields) -> Progress:
    return Progress(spec=f.spec(), attempt=f.integer("attempt", 1, MAX_LINK), curves=curves_of(f))


def _dollars(f: Fields, name: str) -> float:
    found = f.number(name, 0.0)
    if not 0 <= found <= MAX_DOLLARS:
        f.refuse(name, found, f"dollars, at most {MAX_DOLLARS:g}")
    return found


def _settled_json(s: SettledSpec) -> Json:
    priced: dict[str, Json] = {"cost": s.cost, "priced": s.priced} if s.priced else {}
    return priced | {
        "spec": str(s.spec),
        "link": s.link,
        "outcome": s.outcome,
        "resource": s.resource,
        "curves": curves_json(s.curves),
        "checkpoint": s.checkpoint.to_json() if s.checkpoint else None,
        "wall_s": s.wall_s,
        "gpu_s": s.gpu_s,
        "attempts": s.attempts,
        "reason": s.reason,
    }


def _settled(f: Fields) -> SettledSpec:
    return SettledSpec(
        spec=f.spec(),
        link=f.integer("link", 1, MAX_LINK),
        outcome=f.one_of("outcome", OUTCOMES),
        resource=f.integer("resource", 0, MAX_RESOURCE),
        curves=curves_of(f),
        checkpoint=checkpoint_of(f),
        wall_s=f.number("wall_s"),
        gpu_s=f.number("gpu_s"),
        attempts=f.integer("attempts", 0, MAX_LINK),
        reason=f.text("reason"),
        cost=_dollars(f, "cost"),
        priced=f.integer("priced", 0, MAX_LINK, default=0),
    )


def checkpoint_of(f: Fields) -> CheckpointRef | None:
    """Return the reference under ``checkpoint``, or None where there is none."""
    return CheckpointRef.from_fields(f.within("checkpoint")) if f.has("checkpoint") else None
