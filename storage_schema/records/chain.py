"""The links of a spec's chain (PROTOCOL.md, section 4).

::

    open  = no link yet, or the last link is fence, release, or fail with retries left
    open  -> claim | stop
    claim -> done | fail | release | fence | stop
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from storage_schema.codec import Json, encode_record
from storage_schema.keys import MAX_LINK, MAX_RESOURCE, LinkId, link_key
from storage_schema.records.checkpoint import CheckpointRef, SegmentRef
from storage_schema.records.reading import FORMAT, opened


class LinkKind(enum.StrEnum):
    """What a link does."""

    CLAIM = "claim"
    DONE = "done"
    FAIL = "fail"
    RELEASE = "release"
    FENCE = "fence"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. Which fields carry a value depends on `kind`; the others keep their defaults."""

    kind: LinkKind
    id: LinkId
    token: str
    """Random, of its author."""
    author: str
    """The worker (claim, done, fail, release) or coordinator (fence, stop) that wrote it."""
    failures: int = 0
    """Failed attempts in this chain so far, this link included."""
    at: float = 0.0
    """Author's clock; for people only."""
    wall_s: float = 0.0
    """done, fail, release: how long the attempt ran, seconds."""
    gpu_s: float = 0.0
    """done, fail, release: `wall_s` times the attempt's GPUs."""
    held_s: float = 0.0
    """fence, stop of a claim: how long that was held, from its creation to its author's last sign of life, seconds."""
    resource: int = 0
    """done, fail, release: the greatest resource reported (from 0, not from the spec's start)."""
    segments: tuple[SegmentRef, ...] = ()
    """done, fail: the metric log of the spec, inherited segments first."""
    checkpoint: CheckpointRef | None = None
    """done: the final one. claim: the one that this attempt starts from."""
    retries_left: int = 0
    """fail: 0 settles the spec."""
    reason: str = ""
    """fail, release, fence, stop: for people."""
    tail: str = ""
    """fail: the last lines of the trial's output, bounded."""
    machine: tuple[tuple[str, str], ...] = ()
    """claim: the machine that the attempt runs on, for reports: :mod:`storage_schema.machine`."""

    @property
    def settles(self) -> bool:
        """Whether the chain ends here."""
        if self.kind is LinkKind.FAIL:
            return self.retries_left == 0
        return self.kind in (LinkKind.DONE, LinkKind.STOP)

    @property
    def opens(self) -> bool:
        """Whether a claim may follow."""
        if self.kind is LinkKind.FAIL:
            return self.retries_left > 0
        return self.kind in (LinkKind.FENCE, LinkKind.RELEASE)

    @property
    def key(self) -> str:
        """The link's storage key."""
        return link_key(self.id)

    def following(self, kind: LinkKind, *, token: str, author: str, at: float) -> Link:
        """Return the next link, bare but for what the chain carries along; add the rest with `replace`."""
        return Link(
            kind=kind,
            id=replace(self.id, link=self.id.link + 1),
            token=token,
            author=author,
            failures=self.failures,
            at=at,
        )

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes; fields that keep their defaults are left out."""
        value: dict[str, Json] = {
            "format": FORMAT,
            "kind": str(self.kind),
            "spec": str(self.id.spec),
            "link": self.id.link,
            "token": self.token,
            "author": self.author,
            "at": self.at,
        }
        if self.segments:
            value["segments"] = [s.to_json() for s in self.segments]
        if self.checkpoint:
            value["checkpoint"] = self.checkpoint.to_json()
        if self.machine:
            value["machine"] = dict(self.machine)
        for name in ("failures", "wall_s", "gpu_s", "held_s", "resource", "retries_left", "reason", "tail"):
            if found := getattr(self, name):
                value[name] = found
        return encode_record(value)

    @classmethod
    def from_bytes(cls, data: bytes, id: LinkId) -> Link:
        """Read the record that stands at the key of `id`; raises DamagedRecord."""
        key = link_key(id)
        f = opened(data, key, tuple(LinkKind))
        if f.spec() != id.spec or f.integer("link", 1, MAX_LINK) != id.link:
            f.refuse("spec", f"{f.spec()} link {f.integer('link')}", f"{id.spec} link {id.link}")
        return cls(
            kind=LinkKind(f.text("kind")),
            id=id,
            token=f.text("token"),
            author=f.worker("author"),
            failures=f.integer("failures", 0, MAX_LINK, default=0),
            at=f.number("at", 0.0),
            wall_s=f.number("wall_s", 0.0),
            gpu_s=f.number("gpu_s", 0.0),
            held_s=f.number("held_s", 0.0),
            resource=f.integer("resource", 0, MAX_RESOURCE, default=0),
            segments=tuple(SegmentRef.from_fields(item) for item in f.each("segments")),
            checkpoint=CheckpointRef.from_fields(f.within("checkpoint")) if f.has("checkpoint") else None,
            retries_left=f.integer("retries_left", default=0),
            reason=f.text("reason", ""),
            tail=f.text("tail", ""),
            machine=f.texts("machine"),
        )


def may_follow(kind: LinkKind, last: Link | None) -> bool:
    """Tell whether a link of `kind` is grammatical after `last` (None: an empty chain)."""
    if last is None or last.opens:
        return kind in (LinkKind.CLAIM, LinkKind.STOP)
    if last.kind is LinkKind.CLAIM:
        return kind is not LinkKind.CLAIM
    return False
