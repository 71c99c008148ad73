"""A small study written record by record into a folder: what became of six trials, told by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from storage_schema.codec import sha256
from storage_schema.keys import STUDY, LinkId, SegmentId, SpecId, log_key, output_key, segment_key, worker_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import (
    Decision,
    Entry,
    Facts,
    Heartbeat,
    Held,
    Issue,
    Limits,
    Link,
    LinkKind,
    Metric,
    Program,
    Resource,
    SegmentRef,
    SettledSpec,
    StopTrial,
    Study,
)
from storage_schema.store import Created, Store, open_store

WORKER = "w-alpha-17-abcdef"

STUDY_RECORD = Study(
    name="told",
    token="t",
    created_at=1.0,
    seed=7,
    space=(
        {"name": "lr", "type": "float", "min": 0.001, "max": 1.0, "log": True},
        {"name": "act", "type": "categorical", "values": ["relu", "tanh"]},
    ),
    metrics=(Metric(name="val_loss"),),
    resource=Resource(name="epoch", min=1, max=9, rungs=(1, 3, 9)),
    scheduler={"name": "asha"},
    searcher={"name": "random"},
    limits=Limits(trials=20),
    program=Program(command=("python", "train.py")),
)


def issue(trial: int, start: int, to: int, rung: int, reason: str) -> Issue:
    return Issue(
        trial=trial,
        start=start,
        to=to,
        rung=rung,
        bracket=0,
        parameters={"lr": 0.01 * (trial + 1), "act": "relu"},
        origin="random",
        checkpoint=None,
        reason=reason,
    )


def done(spec: SpecId, *points: tuple[int, float]) -> SettledSpec:
    return SettledSpec(
        spec=spec,
        link=2,
        outcome="done",
        resource=points[-1][0],
        curves={"val_loss": points},
        wall_s=2.0,
        gpu_s=1.0,
    )


class Teller:
    """Writes records; the store refuses what stands already."""

    def __init__(self, folder: Path, study: Study = STUDY_RECORD) -> None:
        self.store: Store = open_store(str(folder))
        self.url = self.store.url
        self.folder = folder
        self._head = -1
        self._now = time.time() - 100
        self.create(STUDY, study.to_bytes())

    def create(self, key: str, data: bytes) -> None:
        assert self.store.create(key, data) is Created.CREATED

    def entry(
        self, *decisions: Decision, settled: tuple[SettledSpec, ...] = (), author: str = "coordinator"
    ) -> int:
        self._head += 1
        self._now += 1
        facts = Facts(now=self._now, demand=4, settled=settled) if author == "coordinator" else None
        entry = Entry(
            entry=self._head, token=f"e{self._head}", author=author, facts=facts, decisions=decisions
        )
        self.create(log_key(self._head), entry.to_bytes())
        return self._head

    def link(self, spec: SpecId, number: int, kind: LinkKind, author: str = WORKER, **rest: object) -> None:
        link = replace(
            Link(kind=kind, id=LinkId(spec, number), token=f"{spec}.{number}", author=author),
            **rest,  # type: ignore[arg-type]
        )
        self.create(link.key, link.to_bytes())

    def beat(self, *held: Held, slots: int = 2) -> None:
        heartbeat = Heartbeat(
            worker=WORKER,
            role="worker",
            host="alpha",
            pid=17,
            beat=1,
            started_at=1.0,
            slots=slots,
            holding=held,
        )
        self.store.replace(worker_key(WORKER), heartbeat.to_bytes())


def told_study(folder: Path) -> Teller:
    """Trial 0 is paused, 1 was fenced once and leads, 2 failed, 3 was stopped by a user, 4 runs, 5 waits."""
    teller = Teller(folder)
    first = teller.entry(
        *(issue(trial, 0, 1, 0, f"a new configuration, number {trial}") for trial in range(4))
    )
    specs = [SpecId(first, place) for place in range(4)]
    failed = SettledSpec(spec=specs[2], link=2, outcome="fail", reason="exit status 1", wall_s=1.0)
    second = teller.entry(
        issue(1, 1, 3, 1, "rank 1 of 3 at epoch 1, 0.3; the best third is promoted"),
        issue(4, 0, 1, 0, "a new configuration, number 4"),
        issue(5, 0, 1, 0, "a new configuration, number 5"),
        settled=(done(specs[0], (1, 0.5)), done(specs[1], (1, 0.3)), failed, done(specs[3], (1, 0.6))),
    )
    teller.entry(StopTrial(trial=3, reason="looks hopeless"), author="user")
    teller.entry(settled=(done(SpecId(second, 0), (2, 0.25), (3, 0.2)),))
    teller.link(specs[1], 1, LinkKind.CLAIM)
    teller.link(specs[1], 2, LinkKind.FENCE, author="c-beta", reason="silent for 20 s")
    teller.link(specs[1], 3, LinkKind.CLAIM)
    teller.link(specs[1], 4, LinkKind.DONE, resource=1, wall_s=2.0)
    teller.link(specs[2], 1, LinkKind.CLAIM)
    teller.link(
        specs[2],
        2,
        LinkKind.FAIL,
        reason="exit status 1",
        tail="Traceback\nValueError: no such layer",
        failures=1,
    )
    teller.link(SpecId(second, 0), 1, LinkKind.CLAIM)
    _segment(teller, SpecId(second, 0))
    teller.store.replace(output_key(specs[0], 1), b"epoch 1 loss 0.5\n")
    teller.store.replace(output_key(specs[1], 1), b"first try\n")
    teller.store.replace(output_key(specs[1], 3), b"begin\n... 123456 bytes left out ...\nend\n")
    teller.beat(Held(spec=SpecId(second, 1), attempt=1, trial=4, resource=1, value=0.45))
    return teller


def _segment(teller: Teller, spec: SpecId) -> None:
    key = segment_key(SegmentId(spec, 1, 1))
    rows = [Row(2, "val_loss", 0.25, 1.0), Row(2, "accuracy", 0.9, 1.0), Row(3, "val_loss", 0.2, 2.0)]
    data = write_segment(rows)
    teller.create(key, data)
    ref = SegmentRef(key=key, sha256=sha256(data))
    teller.link(spec, 2, LinkKind.DONE, resource=3, wall_s=2.0, segments=(ref,))
