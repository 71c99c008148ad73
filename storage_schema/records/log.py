"""The study's log: numbered, create-only entries. All that changes a study is an entry.

Entry n may be created only by one who has read entry n-1. A coordinator's entry holds the facts that it was
decided on and the decisions; a user's entry (enqueue, pause, ...) holds decisions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from storage_schema.codec import Json, encode_record
from storage_schema.keys import MAX_INDEX, MAX_LINK, MAX_RESOURCE, MAX_TRIAL, SpecId, log_key
from storage_schema.records.checkpoint import CheckpointRef
from storage_schema.records.curve import Curve, curves_json, curves_of
from storage_schema.records.reading import FORMAT, Fields, opened
from storage_schema.records.study import MAX_RUNGS, Limits

OUTCOMES = ("done", "fail", "stop")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Decision: train a trial from `start` to `to`. Its place among the entry's issues names the spec."""

    trial: int
    start: int
    to: int
    rung: int
    bracket: int
    parameters: Mapping[str, Json]
    origin: str
    """Who proposed the configuration: a searcher's name, or ``enqueued``."""
    checkpoint: CheckpointRef | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTrial:
    """Decision: end a trial; an open spec of its is stopped."""

    trial: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTrial:
    """Decision (user's): a failed trial gets another chance from its newest checkpoint."""

    trial: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """Decision (user's): try this configuration next. Missing parameters are filled by the searcher."""

    parameters: Mapping[str, Json]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits:
    """Decision (user's): replace the study's limits; reopens a study that ended for a limit."""

    limits: Limits
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Decision (user's): issue nothing more, claim nothing more; what runs goes on."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Decision (user's): undo Pause, or reopen a study that a user stopped."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Decision: the study ends; open specs are stopped."""

    reason: str


Decision = Issue | StopTrial | RetryTrial | Enqueue | SetLimits | Pause | Resume | Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One log entry."""

    entry: int
    token: str
    author: str
    """``coordinator`` or ``user``. Whose process it was does not matter and is not recorded."""
    facts: Facts | None
    """None in a user's entry."""
    decisions: tuple[Decision, ...]

    def issues(self) -> tuple[tuple[SpecId, Issue], ...]:
        """Return the specs that this entry issues."""
        issued = (d for d in self.decisions if isinstance(d, Issue))
        return tuple((SpecId(self.entry, place), issue) for place, issue in enumerate(issued))

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode_record(
            {
                "format": FORMAT,
                "kind": "entry",
                "entry": self.entry,
                "token": self.token,
                "author": self.author,
                "facts": _facts_json(self.facts) if self.facts else None,
                "decisions": [_decision_json(d) for d in self.decisions],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, entry: int) -> Entry:
        """Read the record that stands at ``log/<entry>``; raises DamagedRecord."""
        key = log_key(entry)
        f = opened(data, key, ("entry",))
        if f.integer("entry") != entry:
            f.refuse("entry", f.integer("entry"), str(entry))
        return cls(
            entry=entry,
            token=f.text("token"),
            author=f.one_of("author", ("coordinator", "user")),
            facts=_facts(f.within("facts")) if f.has("facts") else None,
            decisions=_decisions(f),
        )


def _facts_json(facts: Facts) -> Json:
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
    return value


def _facts(f: Fields) -> Facts:
    return Facts(
        now=f.number("now"),
        demand=f.integer("demand"),
        settled=tuple(_settled(item) for item in f.each("settled")),
        progress=tuple(_progress(item) for item in f.each("progress")),
    )


def _progress(f: Fields) -> Progress:
    return Progress(spec=f.spec(), attempt=f.integer("attempt", 1, MAX_LINK), curves=curves_of(f))


def _settled_json(s: SettledSpec) -> Json:
    return {
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
        checkpoint=_checkpoint(f),
        wall_s=f.number("wall_s"),
        gpu_s=f.number("gpu_s"),
        attempts=f.integer("attempts", 0, MAX_LINK),
        reason=f.text("reason"),
    )


def _checkpoint(f: Fields) -> CheckpointRef | None:
    return CheckpointRef.from_fields(f.within("checkpoint")) if f.has("checkpoint") else None


def _decision_json(decision: Decision) -> Json:
    value: dict[str, Json] = {"kind": _KIND_OF[type(decision)], "reason": decision.reason}
    match decision:
        case Issue():
            value |= {
                name: getattr(decision, name)
                for name in ("trial", "start", "to", "rung", "bracket", "origin")
            }
            value["parameters"] = dict(decision.parameters)
            value["checkpoint"] = decision.checkpoint.to_json() if decision.checkpoint else None
        case StopTrial() | RetryTrial():
            value["trial"] = decision.trial
        case Enqueue():
            value["parameters"] = dict(decision.parameters)
        case SetLimits():
            value["limits"] = decision.limits.to_json()
        case Pause() | Resume() | Finish():
            pass
    return value


def _issue(f: Fields) -> Issue:
    return Issue(
        trial=f.integer("trial", 0, MAX_TRIAL),
        start=f.integer("start", 0, MAX_RESOURCE),
        to=f.integer("to", 1, MAX_RESOURCE),
        rung=f.integer("rung", 0, MAX_RUNGS),
        bracket=f.integer("bracket", 0, MAX_TRIAL),
        parameters=f.kept("parameters"),
        origin=f.text("origin"),
        checkpoint=_checkpoint(f),
        reason=f.text("reason"),
    )


_READERS: dict[str, Callable[[Fields], Decision]] = {
    "issue": _issue,
    "stop": lambda f: StopTrial(trial=f.integer("trial", 0, MAX_TRIAL), reason=f.text("reason")),
    "retry": lambda f: RetryTrial(trial=f.integer("trial", 0, MAX_TRIAL), reason=f.text("reason")),
    "enqueue": lambda f: Enqueue(parameters=f.kept("parameters"), reason=f.text("reason")),
    "limits": lambda f: SetLimits(limits=Limits.from_fields(f.within("limits")), reason=f.text("reason")),
    "pause": lambda f: Pause(reason=f.text("reason")),
    "resume": lambda f: Resume(reason=f.text("reason")),
    "finish": lambda f: Finish(reason=f.text("reason")),
}

_KIND_OF: dict[type, str] = {
    Issue: "issue",
    StopTrial: "stop",
    RetryTrial: "retry",
    Enqueue: "enqueue",
    SetLimits: "limits",
    Pause: "pause",
    Resume: "resume",
    Finish: "finish",
}


def _decisions(f: Fields) -> tuple[Decision, ...]:
    found = tuple(_decision(item) for item in f.each("decisions"))
    issues = sum(isinstance(decision, Issue) for decision in found)
    if issues > MAX_INDEX + 1:
        f.refuse("decisions", f"{issues} issues", f"at most {MAX_INDEX + 1}")
    return found


def _decision(f: Fields) -> Decision:
    return _READERS[f.one_of("kind", tuple(_READERS))](f)
