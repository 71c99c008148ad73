"""What a worker tells of a running trial at the study's milestones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.records import LinkKind, Metric, Resource
from tests.unit.workers.stage import OK, FakeTrial, Stage, issue, study
from workers.milestones import Milestones
from workers.trial_process import Ended, Report

NAN = float("nan")


def reports(*points: tuple[int, float], metric: str = "loss") -> list[Report]:
    return [Report(resource=r, values={metric: v}, at=0.0) for r, v in points]


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([(1, 0.9), (3, 0.7)], [(1, 0.9), (3, 0.7)]),
        ([(2, 0.8)], []),
        ([(2, 0.8), (4, 0.6)], [(3, 0.8)]),
        ([(4, 0.6)], []),
        ([(1, 0.9), (10, 0.1)], [(1, 0.9), (3, 0.9), (9, 0.9)]),
        ([(1, 0.9), (1, 0.5), (3, 0.7)], [(1, 0.9), (3, 0.7)]),
        ([(3, NAN), (9, 0.1)], [(3, None), (9, 0.1)]),
    ],
    ids=["at them", "before", "the last one before", "none before", "several at once", "again", "not finite"],
)
def test_at_a_milestone_stands_its_report_or_the_last_one_before(points, told):
    milestones = Milestones([1, 3, 9] if (1, 0.9) in points or (10, 0.1) in points else [3, 9], ["loss"])
    for report in reports(*points):
        milestones.see([report])
    assert milestones.curves() == ({"loss": tuple(told)} if told else {})


def test_every_metric_has_its_own_milestones_and_others_have_none():
    milestones = Milestones([2], ["loss", "accuracy"])
    assert not milestones.see(reports((5, 1.0), metric="speed"))
    assert milestones.see(reports((2, 0.5)))
    assert not milestones.see(reports((3, 0.4)))
    assert milestones.see(reports((2, 0.8), metric="accuracy"))
    assert milestones.curves() == {"loss": ((2, 0.5),), "accuracy": ((2, 0.8),)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    watched = study(
        resource=Resource(name="epoch", min=1, max=9, rungs=(9,), milestones=(1, 3)),
        metrics=(Metric(name="loss"), Metric(name="accuracy", goal="maximize")),
    )
    return Stage(tmp_path, study=watched)


def test_a_heartbeat_tells_of_milestones_sooner(stage: Stage) -> None:
    stage.publish(issue(to=9))
    told: list[tuple[float, object]] = []

    def script(trial: FakeTrial) -> Iterator[Ended | None]:
        stage.lease.step()
        before = stage.clock.time
        trial.report(1, loss=0.5, accuracy=0.1)
        while not (stage.heartbeat()["holding"] or [{}])[0].get("curves"):
            yield None
            stage.lease.step()
        told.append((stage.clock.time - before, stage.heartbeat()["holding"][0]["curves"]))
        for epoch in range(2, 10):
            trial.report(epoch, loss=1 / epoch)
        yield OK

    stage.attempt(script)
    ((waited_s, curves),) = told
    assert curves == {"loss": [[1, 0.5]], "accuracy": [[1, 0.1]]}
    assert waited_s < stage.study.timing.flush_s / 4
    assert stage.chain()[-1].kind is LinkKind.DONE


def test_a_resumed_attempt_tells_only_of_what_it_trains(stage: Stage) -> None:
    stage.publish(issue(to=9))

    def dies(trial: FakeTrial) -> Iterator[Ended | None]:
        trial.report(1, loss=0.5)
        trial.save(1)
        for _ in range(300):
            yield None
        yield Ended(status=1, signal=None, reason="failed with exit status 1")

    stage.attempt(dies)
    stage.reoffer(issue(to=9))
    seen: list[object] = []

    def goes_on(trial: FakeTrial) -> Iterator[Ended | None]:
        assert trial.file.start == 1
        for epoch in range(2, 10):
            trial.report(epoch, loss=1 / epoch)
        for _ in range(300):
            yield None
            stage.lease.step()
        seen.append(stage.heartbeat()["holding"][0]["curves"])
        yield OK

    stage.attempt(goes_on)
    assert seen == [{"loss": [[3, 1 / 3]]}]
