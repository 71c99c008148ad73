"""What is replaced, and never believed to be more than a hint: heartbeats and the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage_schema.codec import Json, encode_record
from storage_schema.errors import DamagedRecord
from storage_schema.keys import BOARD, MAX_ENTRY, MAX_LINK, MAX_RESOURCE, MAX_TRIAL, SpecId, worker_key
from storage_schema.records.curve import Curve, curves_json, curves_of
from storage_schema.records.reading import FORMAT, Fields, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One attempt that a worker holds, and how far it is."""

    spec: SpecId
    attempt: int
    trial: int
    resource: int = 0
    """The greatest resource reported so far."""
    value: float | None = None
    """The objective's last report."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Metric to what was reported at the study's milestones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`workers/<worker>.json`. A worker's id is new at each start, so a heartbeat never changes its author."""

    worker: str
    role: str
    """``worker`` or ``coordinator``."""
    host: str
    pid: int
    beat: int
    """Counts the writes: no two heartbeats of a worker have equal bytes."""
    started_at: float
    """Author's clock; for people only."""
    slots: int = 0
    """How many specs it runs at a time; 0 for a coordinator, and for a worker that takes nothing more."""
    gpus: int = 0
    """GPUs that it deals out."""
    holding: tuple[Held, ...] = ()
    closed: int = 0
    """How many chains it has ended, over its life."""
    recent: tuple[SpecId, ...] = ()
    """The specs of the last of those, at most 64: where coordinators look for results."""
    machine: tuple[tuple[str, str], ...] = ()
    """What is known of the machine (provider, instance type, ...), for reports."""

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        value: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN}
        value |= {
            "format": FORMAT,
            "kind": "heartbeat",
            "holding": [_held_json(held) for held in self.holding],
            "recent": [str(spec) for spec in self.recent],
            "machine": dict(self.machine),
        }
        return encode_record(value)

    @classmethod
    def from_bytes(cls, data: bytes, worker: str) -> Heartbeat:
        """Read the record; raises DamagedRecord, which readers of hints take as "not there"."""
        key = worker_key(worker)
        f = opened(data, key, ("heartbeat",))
        if f.text("worker") != worker:
            f.refuse("worker", f.text("worker"), worker)
        return cls(
            worker=worker,
            role=f.one_of("role", ("worker", "coordinator")),
            host=f.text("host"),
            pid=f.integer("pid"),
            beat=f.integer("beat"),
            started_at=f.number("started_at"),
            slots=f.integer("slots", 0, MAX_SLOTS, default=0),
            gpus=f.integer("gpus", 0, MAX_SLOTS, default=0),
            holding=tuple(_held(item) for item in f.each("holding")),
            closed=f.integer("closed", default=0),
            recent=tuple(_spec(text, key) for text in f.array("recent")),
            machine=f.texts("machine"),
        )


MAX_SLOTS = 10_000
"""Of one worker: so many specs at a time, so many GPUs."""
MAX_OPEN = 2_000
"""Lines of a board."""
MAX_PRIORITY = 10**9
_PLAIN = ("worker", "role", "host", "pid", "beat", "started_at", "slots", "gpus", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSpec:
    """One line of the board: a spec that can be claimed, and where its next link goes."""

    spec: SpecId
    next_link: int
    priority: int
    """Greater first (the rung)."""
    trial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """`hints/board.json`: what makes claiming cheap."""

    head: int
    """The newest log entry that its author has read; -1 for an empty log."""
    open: tuple[OpenSpec, ...]
    """At most 2,000, best priority first."""
    paused: bool = False
    finished: int | None = None
    """The entry that finished the study."""
    budget: bool = False
    """The study has one: who does not say what its machine costs claims nothing."""
    beat: int = 0
    """Changes with every write, so that readers can tell a living coordinator from a stale board."""

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode_record(
            {
                "format": FORMAT,
                "kind": "board",
                "head": self.head,
                "open": [[str(o.spec), o.next_link, o.priority, o.trial] for o in self.open],
                "paused": self.paused,
                "finished": self.finished,
                "beat": self.beat,
                **({"budget": True} if self.budget else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Board:
        """Read the record; raises DamagedRecord, which readers of hints take as "not there"."""
        f = opened(data, BOARD, ("board",))
        return cls(
            head=f.integer("head", -1, MAX_ENTRY - 1),
            open=tuple(_open_spec(line) for line in f.array("open", MAX_OPEN)),
            paused=f.flag("paused", False),
            finished=f.optional("finished", lambda name: f.integer(name, 0, MAX_ENTRY)),
            budget=f.flag("budget", False),
            beat=f.integer("beat", default=0),
        )


def _held(f: Fields) -> Held:
    return Held(
        spec=f.spec(),
        attempt=f.integer("attempt", 1, MAX_LINK),
        trial=f.integer("trial", 0, MAX_TRIAL),
        resource=f.integer("resource", 0, MAX_RESOURCE, default=0),
        value=f.optional("value", f.number),
        curves=curves_of(f),
    )


def _held_json(held: Held) -> Json:
    value: dict[str, Json] = {
        "spec": str(held.spec),
        "attempt": held.attempt,
        "trial": held.trial,
        "resource": held.resource,
        "value": held.value,
    }
    return value | ({"curves": curves_json(held.curves)} if held.curves else {})


def _spec(text: Json, key: str) -> SpecId:
    found = SpecId.parse(text) if isinstance(text, str) else None
    if found is None:
        raise DamagedRecord(key, f"{str(text)[:40]!r} is not a spec")
    return found


def _open_spec(line: Json) -> OpenSpec:
    if not isinstance(line, list) or len(line) != 4 or not all(type(part) is int for part in line[1:]):
        raise DamagedRecord(BOARD, "open: a line is not [spec, next link, priority, trial]")
    if not 1 <= line[1] <= MAX_LINK or not abs(line[2]) <= MAX_PRIORITY or not 0 <= line[3] <= MAX_TRIAL:
        raise DamagedRecord(BOARD, f"open: {line[1:]} is out of range")
    return OpenSpec(spec=_spec(line[0], BOARD), next_link=line[1], priority=line[2], trial=line[3])
