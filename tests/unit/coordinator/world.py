"""A study in memory, with coordinators to tick and a worker's links to write by hand."""

from __future__ import annotations

import itertools
import threading

from hpo_pipe.coordinator.tick import Coordinator
from storage_schema.chain import read_chain
from storage_schema.codec import sha256
from storage_schema.history import History
from storage_schema.keys import BOARD, STUDY, LinkId, SegmentId, SpecId, segment_key, worker_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import (
    Board,
    Heartbeat,
    Held,
    Limits,
    Link,
    LinkKind,
    Metric,
    Program,
    Resource,
    SegmentRef,
    Study,
    Timing,
)
from storage_schema.store import Blob, Store, create_settled, open_store
from storage_schema.store.memory import MemoryStore


class VirtualClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.time += timeout_s
        return event.is_set()


def never(failed: int, reason: str) -> None:
    raise AssertionError(f"the memory store needed try {failed + 1}: {reason}")


def a_study(**changes: object) -> Study:
    """Return a study of one float, three rungs and six trials, but for the changes."""
    values: dict[str, object] = {
        "name": "small",
        "token": "t",
        "created_at": 0.0,
        "seed": 7,
        "space": ({"name": "lr", "type": "float", "min": 0.0, "max": 1.0},),
        "metrics": (Metric(name="loss"),),
        "resource": Resource(name="epoch", min=1, max=9, rungs=(1, 3, 9)),
        "scheduler": {"name": "asha", "eta": 3},
        "searcher": {"name": "sobol"},
        "limits": Limits(trials=6),
        "program": Program(command=("true",)),
        "timing": Timing(flush_s=10.0, lease_s=40.0, tick_s=1.0),
    }
    return Study(**{**values, **changes})  # type: ignore[arg-type]


class World:
    """One study in one memory store; with `dated`, its modified times are the virtual clock's."""

    def __init__(self, name: str, study: Study | None = None, *, dated: bool = False) -> None:
        self.study = study or a_study()
        self.clock = VirtualClock()
        url = f"memory://world-{name}"
        self.store: Store = MemoryStore(url, self.clock) if dated else open_store(url)
        self.store.create(STUDY, self.study.to_bytes())
        self._ids = itertools.count()

    def coordinator(self, *, one_shot: bool = False) -> Coordinator:
        return Coordinator(
            self.store,
            self.study,
            clock=self.clock,
            wait=never,
            name=f"c-{next(self._ids)}",
            one_shot=one_shot,
        )

    def history(self) -> History:
        """Return the fold of the log, read from nothing."""
        coordinator = self.coordinator()
        coordinator.log.follow()
        return coordinator.history

    def board(self) -> Board:
        blob = self.store.get(BOARD)
        assert isinstance(blob, Blob)
        return Board.from_bytes(blob.data)


class HandWorker:
    """Writes what a worker writes, when told to."""

    def __init__(
        self, world: World, name: str, slots: int = 4, machine: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.world, self.name, self.slots, self.machine = world, name, slots, machine
        self._beats = itertools.count(1)
        self._held: dict[SpecId, int] = {}
        self._closed: list[SpecId] = []
        self._told: dict[SpecId, list[tuple[int, float | None]]] = {}

    def tell(self, spec: SpecId, *points: tuple[int, float | None], attempt: int | None = None) -> None:
        """Report at milestones, in the next heartbeat; `attempt` for one that it does not hold any more."""
        self._told.setdefault(spec, []).extend(points)
        self.beat() if attempt is None else self._beat({**self._held, spec: attempt})

    def beat(self) -> None:
        self._beat(self._held)

    def _beat(self, holding: dict[SpecId, int]) -> None:
        curves = {spec: {"loss": tuple(points)} for spec, points in self._told.items()}
        held = tuple(Held(spec=s, attempt=a, trial=0, curves=curves.get(s, {})) for s, a in holding.items())
        beat = Heartbeat(
            worker=self.name,
            role="worker",
            host="h",
            pid=1,
            beat=next(self._beats),
            started_at=0.0,
            slots=self.slots,
            holding=held,
            closed=len(self._closed),
            recent=tuple(self._closed[-64:]),
            machine=self.machine,
        )
        self.world.store.replace(worker_key(self.name), beat.to_bytes())

    def claim(self, spec: SpecId, *, beat: bool = True) -> bool:
        link = self._next(spec, LinkKind.CLAIM)
        won = self._write(link)
        if won:
            self._held[spec] = link.id.link
            if beat:
                self.beat()
        return won

    def done(self, spec: SpecId, values: dict[int, float], **more: object) -> bool:
        return self._close(self._next(spec, LinkKind.DONE), values, wall_s=2.0, gpu_s=4.0, **more)

    def fail(self, spec: SpecId, values: dict[int, float], **more: object) -> bool:
        return self._close(self._next(spec, LinkKind.FAIL), values, **more)

    def release(self, spec: SpecId) -> bool:
        return self._close(self._next(spec, LinkKind.RELEASE), {})

    def _next(self, spec: SpecId, kind: LinkKind) -> Link:
        chain = read_chain(self.world.store, spec)
        number = chain[-1].id.link + 1 if chain else 1
        machine = self.machine if kind is LinkKind.CLAIM else ()
        id = LinkId(spec, number)
        return Link(kind=kind, id=id, token=f"{self.name}-{number}", author=self.name, machine=machine)

    def _close(self, link: Link, values: dict[int, float], **more: object) -> bool:
        spec = link.id.spec
        segments = ()
        if values:
            key = segment_key(SegmentId(spec, self._held[spec], 1))
            rows = [Row(resource=r, metric="loss", value=v, at=0.0) for r, v in values.items()]
            data = write_segment(rows)
            self.world.store.create(key, data)
            segments = (SegmentRef(key=key, sha256=sha256(data)),)
        fields = {name: getattr(link, name) for name in ("kind", "id", "token", "author")}
        resource = max(values, default=0)
        won = self._write(Link(**fields, segments=segments, resource=resource, **more))  # type: ignore[arg-type]
        del self._held[spec]
        self._closed.append(spec)
        self.beat()
        return won

    def _write(self, link: Link) -> bool:
        return create_settled(self.world.store, link.key, link.to_bytes(), wait=never).mine
