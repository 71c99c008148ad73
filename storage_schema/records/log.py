"""The study's log: numbered, create-only entries. All that changes a study is an entry.

Entry n may be created only by one who has read entry n-1. A coordinator's entry holds the facts that it was
decided on and the decisions; a user's entry (enqueue, pause, ...) holds decisions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage_schema.codec import Json, encode_record
from storage_schema.keys import MAX_INDEX, MAX_RESOURCE, MAX_TRIAL, SpecId, log_key
from storage_schema.records.checkpoint import CheckpointRef
from storage_schema.records.facts import Facts, checkpoint_of, facts_json, facts_of
from storage_schema.records.reading import FORMAT, Fields, opened
from storage_schema.records.study import MAX_RUNGS, Limits


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
    parent: int | None = None
    """The trial whose `checkpoint` this one's first spec starts from; None for one that starts from nothing."""


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
                "facts": facts_json(self.facts) if self.facts else None,
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
            facts=facts_of(f.within("facts")) if f.has("facts") else None,
            decisions=_decisions(f),
        )


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
            value |= {} if decision.parent is None else {"parent": decision.parent}
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
        checkpoint=checkpoint_of(f),
        reason=f.text("reason"),
        parent=f.optional("parent", lambda name: f.integer(name, 0, MAX_TRIAL)),
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
