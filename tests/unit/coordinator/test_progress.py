"""What running trials report at milestones reaches the log, once, and stops those that fall behind."""

from __future__ import annotations

from storage_schema.chain import read_chain
from storage_schema.keys import SpecId
from storage_schema.records import Limits, LinkKind, Resource
from tests.e2e.accounting import audit
from tests.unit.coordinator.world import HandWorker, World, a_study


def world(name: str, trials: int = 4) -> World:
    return World(
        name,
        a_study(
            scheduler={"name": "asha_stopping", "eta": 3},
            resource=Resource(name="epoch", min=1, max=9, rungs=(1, 3, 9), milestones=(1, 3)),
            limits=Limits(trials=trials),
        ),
    )


def test_reports_reach_the_log_once_and_stop_whom_they_condemn() -> None:
    here = world("progress")
    coordinator, worker = here.coordinator(), HandWorker(here, "w-a")
    worker.beat()
    coordinator.tick()
    specs = [SpecId(0, place) for place in range(4)]
    for spec in specs:
        assert worker.claim(spec)
    for spec, loss in zip(specs, (0.4, 0.3, 0.2, 0.9), strict=True):
        worker.tell(spec, (1, loss))
    coordinator.tick()
    assert coordinator.history.trials[3].stopped.startswith("rank 4 of 4 at epoch 1, loss 0.9;")
    assert [trial.number for trial in coordinator.history.trials if trial.stopped] == [0, 1, 3]
    head = coordinator.history.head
    coordinator.tick()
    assert coordinator.history.head > head, "the stop links were not seen as settled"
    assert [read_chain(here.store, spec)[-1].kind for spec in specs] == [
        LinkKind.STOP,
        LinkKind.STOP,
        LinkKind.CLAIM,
        LinkKind.STOP,
    ]
    head = coordinator.history.head
    worker.beat()
    coordinator.tick()
    assert coordinator.history.head == head, "the same report was told twice"
    assert coordinator.history.trials[3].curve("loss") == ((1, 0.9),)
    worker.tell(specs[2], (3, 0.1))
    coordinator.tick()
    assert dict(coordinator.history.trials[2].curve("loss")) == {1: 0.2, 3: 0.1}
    assert worker.done(specs[2], {e: 0.25 - e / 100 for e in range(1, 10)})
    coordinator.tick()
    assert dict(coordinator.history.trials[2].curve("loss"))[3] == 0.25 - 3 / 100, (
        "the record did not take its place"
    )
    assert coordinator.history.closed
    assert audit(here.store) == []


def test_a_fenced_holders_reports_are_not_told() -> None:
    here = world("fenced-progress")
    coordinator, worker, other = here.coordinator(), HandWorker(here, "w-a"), HandWorker(here, "w-b")
    worker.beat()
    coordinator.tick()
    spec = SpecId(0, 0)
    assert worker.claim(spec) and worker.release(spec)
    assert other.claim(spec)
    worker.tell(spec, (1, 0.1), attempt=1)
    other.beat()
    coordinator.tick()
    assert coordinator.history.specs[spec].progress == {}
    other.tell(spec, (1, 0.7))
    coordinator.tick()
    assert coordinator.history.specs[spec].progress == {"loss": ((1, 0.7),)}


def test_a_study_without_milestones_does_not_log_what_heartbeats_tell() -> None:
    here = World("no-milestones")
    coordinator, worker = here.coordinator(), HandWorker(here, "w-a")
    worker.beat()
    coordinator.tick()
    assert worker.claim(SpecId(0, 0))
    worker.tell(SpecId(0, 0), (1, 0.1))
    coordinator.tick()
    assert coordinator.history.head == 0
