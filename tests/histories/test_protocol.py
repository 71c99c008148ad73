"""Whole studies by real coordinators and workers, some of them killed: what each saw of log and chains is recorded."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.store import open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import Fleet
from tests.histories.checker import problems
from tests.histories.recorder import read_history
from tests.servers.proxy import Fault, Proxy, at_random
from tests.servers.s3 import S3Server, lead_to, s3_environment

ROOT = Path(__file__).parents[2]
IMPORTABLE = {"PYTHONPATH": str(ROOT)}
FAULTS = (Fault("lose answer"), Fault("reset"), Fault("late", 0.5), Fault("delay", 0.2), Fault("unavailable"))


class RecordedFleet(Fleet):
    def command(self, role: str, *arguments: str) -> list[str]:
        # A worker's own ticks would be processes that record nothing.
        own = ["--no-coordinator"] if role == "worker" else []
        actor = [sys.executable, "-m", "tests.histories.actor", str(self.folder)]
        return [*actor, role, self.url, *own, *arguments]


@pytest.fixture
def fleets() -> Iterator[list[Fleet]]:
    started: list[Fleet] = []
    yield started
    for fleet in started:
        fleet.close()


def judged(fleet: Fleet, *, sends_again: bool) -> Counter[str]:
    """Return what the requests of a finished study came to."""
    history = read_history(fleet.folder)
    assert problems(history, sends_again=sends_again) == []
    assert audit(open_store(fleet.url)) == []
    assert fleet.kills
    assert len({operation.process for operation in history}) >= 5
    seen = Counter(operation.outcome for operation in history)
    print(f"{fleet.url}, {fleet.kills} kills: {len(history)} requests, {dict(seen)}")
    return seen


def test_a_study_in_a_folder(fleets: list[Fleet], tmp_path: Path) -> None:
    fleet = RecordedFleet((tmp_path / "study").as_uri(), tmp_path, IMPORTABLE, epoch_s=0.1)
    fleets.append(fleet)
    fleet.create(trials=12)
    fleet.harry(random.Random(7), coordinators=2, workers=3, kills=4, every_s=1.0, until_s=150)
    assert judged(fleet, sends_again=False)["created"] > 20


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_on_s3_behind_a_lossy_network(
    fleets: list[Fleet], s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.new_url()
    with Proxy(s3_server.endpoint) as proxy:
        lead_to(proxy.endpoint, monkeypatch)
        fleet = RecordedFleet(url, tmp_path, IMPORTABLE | s3_environment(proxy.endpoint), epoch_s=0.1)
        fleets.append(fleet)
        fleet.create(trials=12)
        proxy.plan = at_random(0.25, *FAULTS, seed=31, method="PUT")
        fleet.harry(random.Random(7), coordinators=2, workers=3, kills=6, every_s=2.0, until_s=240)
        proxy.plan = lambda _: None
        assert judged(fleet, sends_again=True)["unknown"]
