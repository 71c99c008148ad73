"""`study.json`: what is searched, how, within which limits, and what a worker runs. Created once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, fields

from storage_schema.codec import Json, encode_record
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.keys import MAX_LINK, MAX_RESOURCE, STUDY, checked_study_name
from storage_schema.records.metric import Metric, read_metrics
from storage_schema.records.program import Program as Program
from storage_schema.records.reading import FORMAT, Fields, opened
from storage_schema.records.warm_start import WarmStart

MAX_RUNGS = 1_000
MAX_ATTEMPTS = MAX_LINK // 2
"""Each attempt has two links: its claim, and how it ended."""
MAX_SECONDS = 1e8
KEPT = ("newest", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What training is paid in, and the levels at which trials are compared."""

    name: str
    """For people: ``epoch``, ``step``, ..."""
    min: int
    max: int
    rungs: tuple[int, ...]
    """Strictly increasing, the last one is `max`; fixed at creation so that no later version moves them."""
    milestones: tuple[int, ...] = ()
    """Strictly increasing: resources whose reports reach the log while their trial runs, for schedulers that stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When the study ends; None means no limit of this kind."""

    trials: int | None = None
    total_resource: int | None = None
    """Units of the resource issued to all trials together."""
    wall_s: float | None = None
    """Seconds since the first log entry, on the store's clock."""
    gpu_hours: float | None = None
    cost: float | None = None
    """Dollars of training: the study's budget."""
    target: float | None = None
    """The study ends when the objective is at least this good, within all bounds."""
    not_improving: int | None = None
    """The study ends when so many trials have come back without improving on the best result."""
    convergence: float | None = None
    """The study ends when the best results differ by less than this share of what results differ by."""

    def to_json(self) -> Json:
        """Return the limits that are set."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    @classmethod
    def from_fields(cls, f: Fields) -> Limits:
        """Read back what :meth:`to_json` wrote."""
        return cls(
            trials=f.optional("trials", f.integer),
            total_resource=f.optional("total_resource", f.integer),
            wall_s=f.optional("wall_s", f.number),
            gpu_hours=f.optional("gpu_hours", f.number),
            cost=f.optional("cost", f.number),
            target=f.optional("target", f.number),
            not_improving=f.optional("not_improving", f.integer),
            convergence=f.optional("convergence", f.number),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. Fixed for the study, so that all sides agree on what is too old."""

    flush_s: float = 60.0
    """Heartbeats, metric segments and the look at the next link."""
    lease_s: float = 240.0
    """A holder whose heartbeat has not changed for this long may be fenced; about four flushes."""
    tick_s: float = 10.0
    """Between two ticks of a coordinator that found nothing to do."""
    grace_s: float = 30.0
    """Between asking a trial to stop and killing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One search. Space, scheduler and searcher are opaque here: only the deciding side reads them."""

    name: str
    token: str
    """Random, of its author: tells one's own record from another's after a lost answer."""
    created_at: float
    """Author's clock, seconds since the epoch; for people only."""
    seed: int
    space: tuple[Json, ...]
    constraints: Json = field(default_factory=dict)
    metrics: tuple[Metric, ...]
    resource: Resource | None
    """None: each trial is one run, and its last report counts."""
    scheduler: Json
    searcher: Json
    limits: Limits
    program: Program
    timing: Timing = field(default_factory=Timing)
    retries: int = 2
    """How often a failed spec is tried again."""
    max_attempts: int = 50
    """After so many attempts of one spec, interruptions included, the coordinator gives it up."""
    keep_checkpoints: str = "newest"
    """Of a trial's specs that are done: ``newest``, the last one's final checkpoint; ``all``, each one's."""
    enqueued: tuple[dict[str, Json], ...] = ()
    """Configurations that are tried first, in order."""
    proof: Json = field(default_factory=dict)
    """What `doctor` found when the study was created."""
    warm_start: WarmStart | None = None
    """What was taken over from other studies."""

    @property
    def objective(self) -> Metric:
        """The metric that is searched for; of several objectives the first."""
        return self.metrics[0]

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """The metrics that are searched for."""
        return (self.metrics[0], *(metric for metric in self.metrics[1:] if metric.objective))

    @property
    def bounded(self) -> tuple[Metric, ...]:
        """The metrics that a result must keep within bounds."""
        return tuple(metric for metric in self.metrics if metric.bounded)

    @property
    def plain(self) -> bool:
        """Whether a result is as good as the value of its only objective, without any bound."""
        return not any(m.bounded or (m.objective and m is not self.metrics[0]) for m in self.metrics)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of all parameters, in the order of the space; a trial has those that are active in it."""
        return tuple(str(item.get("name")) for item in self.space if isinstance(item, dict))

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode_record(
            {
                "format": FORMAT,
                "kind": "study",
                "name": self.name,
                "token": self.token,
                "created_at": self.created_at,
                "seed": self.seed,
                "space": list(self.space),
                "constraints": self.constraints,
                "metrics": [metric.to_json() for metric in self.metrics],
                "resource": _resource_json(self.resource),
                "scheduler": self.scheduler,
                "searcher": self.searcher,
                "limits": self.limits.to_json(),
                "program": self.program.to_json(),
                "timing": {f.name: getattr(self.timing, f.name) for f in fields(self.timing)},
                "retries": self.retries,
                "max_attempts": self.max_attempts,
                **({} if self.keep_checkpoints == "newest" else {"keep_checkpoints": self.keep_checkpoints}),
                "enqueued": list(self.enqueued),
                "proof": self.proof,
                **({"warm_start": self.warm_start.to_json()} if self.warm_start else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, key: str = STUDY) -> Study:
        """Read the record; raises DamagedRecord or NewerFormat."""
        f = opened(data, key, ("study",))
        timing = f.within("timing")
        return cls(
            name=_name(f),
            token=f.text("token"),
            created_at=f.number("created_at"),
            seed=f.integer("seed"),
            space=tuple(f.kept_array("space")),
            constraints=f.kept("constraints"),
            metrics=read_metrics(f),
            resource=_resource(f.within("resource")) if f.has("resource") else None,
            scheduler=f.kept("scheduler"),
            searcher=f.kept("searcher"),
            limits=Limits.from_fields(f.within("limits")),
            program=Program.from_fields(f.within("program")),
            timing=Timing(**{t.name: _seconds(timing, t.name) for t in fields(Timing)}),
            retries=f.integer("retries"),
            max_attempts=f.integer("max_attempts", 1, MAX_ATTEMPTS),
            keep_checkpoints=f.one_of("keep_checkpoints", KEPT) if f.has("keep_checkpoints") else "newest",
            enqueued=_enqueued(f),
            proof=f.kept("proof"),
            warm_start=WarmStart.from_fields(f.within("warm_start")) if f.has("warm_start") else None,
        )


def _name(f: Fields) -> str:
    found = f.text("name")
    try:
        return checked_study_name(found)
    except UserError as error:
        raise DamagedRecord(f.key, str(error)) from None


def _enqueued(f: Fields) -> tuple[dict[str, Json], ...]:
    f.each("enqueued")  # objects, each
    return tuple(dict(item) for item in f.kept_array("enqueued"))


def _seconds(f: Fields, name: str) -> float:
    found = f.number(name)
    if not 0 <= found <= MAX_SECONDS or (found == 0 and name != "grace_s"):
        f.refuse(name, found, f"seconds, at most {MAX_SECONDS:g}")
    return found


def _resource_json(resource: Resource | None) -> Json:
    if resource is None:
        return None
    value: dict[str, Json] = {
        "name": resource.name,
        "min": resource.min,
        "max": resource.max,
        "rungs": list(resource.rungs),
    }
    return value | ({"milestones": list(resource.milestones)} if resource.milestones else {})


def _resource(f: Fields) -> Resource:
    top = f.integer("max", 1, MAX_RESOURCE)
    rungs, milestones = _rising(f, "rungs", top), _rising(f, "milestones", top)
    if not rungs or rungs[-1] != top:
        f.refuse("rungs", "something else", f"rising integers from 1 on that end with {top}")
    low = f.integer("min", 1, top)
    return Resource(name=f.word("name"), min=low, max=top, rungs=rungs, milestones=milestones)


def _rising(f: Fields, name: str, top: int) -> tuple[int, ...]:
    found = f.array(name, MAX_RUNGS)
    within = all(type(r) is int and 1 <= r <= top for r in found)
    if not within or any(a >= b for a, b in itertools.pairwise(found)):
        f.refuse(name, "something else", f"rising integers from 1 to {top}")
    return tuple(found)
