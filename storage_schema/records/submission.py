"""What a launcher was asked to start, written before it is asked, and what came of it (PROTOCOL.md, 6.10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from storage_schema.codec import Json, encode_record
from storage_schema.errors import DamagedRecord
from storage_schema.keys import MAX_STEP, MAX_SUBMISSION, submission_key
from storage_schema.records.reading import FORMAT, Fields, opened

MAX_WORKERS = 10_000
"""Of one submission: what the largest array job takes."""
TARGET = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class StepKind(StrEnum):
    """What a later step of a submission says."""

    TAKEN = "taken"
    """Its author seems to have died before it could say what came of it: somebody else goes on."""
    STARTED = "started"
    REFUSED = "refused"
    """Nothing was started, and nothing of it will be."""
    CANCELLED = "cancelled"
    ENDED = "ended"

    @property
    def final(self) -> bool:
        """Whether nothing of the submission runs or waits any more."""
        return self in (StepKind.REFUSED, StepKind.CANCELLED, StepKind.ENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Step 1: what is to be started. Its number is won by creating it; so nobody starts the same twice."""

    number: int
    token: str
    author: str
    at: float
    """Author's clock; for people, and for pacing."""
    target: str
    workers: int
    instance_type: str = ""
    lifecycle: str = ""
    plan: Mapping[str, Json] = field(default_factory=dict)
    """What the workers are to be like, on any target."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The target's own options."""
    over: int = 0
    """Of all submissions up to this number nothing ran or waited any more: who begins need not read them."""

    @property
    def key(self) -> str:
        """Where it lies."""
        return submission_key(self.number, 1)

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        value: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN}
        value |= {
            "format": FORMAT,
            "kind": "submission",
            "plan": dict(self.plan),
            "settings": dict(self.settings),
        }
        return encode_record(value | ({"over": self.over} if self.over else {}))

    @classmethod
    def from_bytes(cls, data: bytes, number: int) -> Submission:
        """Read the record; raises DamagedRecord."""
        f = opened(data, submission_key(number, 1), ("submission",))
        _same(f, "number", number)
        target = f.text("target")
        if not TARGET.fullmatch(target):
            f.refuse("target", target, "a target's name")
        return cls(
            number=number,
            token=f.word("token"),
            author=f.word("author"),
            at=f.number("at"),
            target=target,
            workers=f.integer("workers", 0, MAX_WORKERS),
            instance_type=f.text("instance_type", ""),
            lifecycle=f.text("lifecycle", ""),
            plan=f.kept("plan"),
            settings=f.kept("settings"),
            over=f.integer("over", 0, number - 1, default=0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionStep:
    """Step 2 and later: what came of it."""

    number: int
    step: int
    token: str
    author: str
    at: float
    kind: StepKind
    workers: int = 0
    """How many were started."""
    jobs: tuple[str, ...] = ()
    """The provider's ids: what to look at, cancel and read logs of."""
    refusal: str = ""
    """Why not all were started: quota, capacity, throttled, denied or invalid; in `ended` failed: all of them did."""
    message: str = ""
    """What the provider said, for people."""

    @property
    def key(self) -> str:
        """Where it lies."""
        return submission_key(self.number, self.step)

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        value: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN_STEP}
        value |= {"format": FORMAT, "kind": str(self.kind), "jobs": list(self.jobs)}
        return encode_record(value)

    @classmethod
    def from_bytes(cls, data: bytes, number: int, step: int) -> SubmissionStep:
        """Read the record; raises DamagedRecord."""
        f = opened(data, submission_key(number, step), tuple(StepKind))
        _same(f, "number", number)
        _same(f, "step", step)
        return cls(
            number=number,
            step=step,
            token=f.word("token"),
            author=f.word("author"),
            at=f.number("at"),
            kind=StepKind(f.text("kind")),
            workers=f.integer("workers", 0, MAX_WORKERS, default=0),
            jobs=tuple(_job(f, job) for job in f.array("jobs", MAX_WORKERS)),
            refusal=f.text("refusal", ""),
            message=f.text("message", ""),
        )


_PLAIN = ("number", "token", "author", "at", "target", "workers", "instance_type", "lifecycle")
_PLAIN_STEP = ("number", "step", "token", "author", "at", "workers", "refusal", "message")
_MAX = {"number": MAX_SUBMISSION, "step": MAX_STEP}


def _same(f: Fields, name: str, wanted: int) -> None:
    found = f.integer(name, 1, _MAX[name])
    if found != wanted:
        f.refuse(name, found, str(wanted))


def _job(f: Fields, found: Json) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= 300 or not found.isprintable():
        raise DamagedRecord(f.key, "jobs: an id is not 1 to 300 printable characters")
    return found
