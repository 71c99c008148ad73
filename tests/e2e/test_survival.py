"""What may happen to processes, done to real ones: killed, frozen, doubled. The books must be clean afterwards."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.chain import read_chain
from storage_schema.records import LinkKind
from storage_schema.store import Store, open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet
from tests.e2e.lineage import state_of
from tests.servers.s3 import S3Server
from tests.waiting import wait_until


@pytest.fixture(params=["file", "s3"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    env: dict[str, str] = {}
    if request.param == "file":
        url = (tmp_path / "study").as_uri()
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        env = dict(server.environment())
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{server.new_bucket()}/studies/survival"
    fleet = Fleet(url, tmp_path, env, epoch_s=0.3)
    yield fleet
    fleet.close()


@pytest.mark.timeout(240)
def test_two_coordinators_and_four_workers_under_kill_9_lose_nothing(fleet: Fleet) -> None:
    fleet.create(trials=30)
    fleet.harry(random.Random(20), coordinators=2, workers=4, kills=12, every_s=1.0, until_s=200)
    assert fleet.kills >= 6
    assert audit(open_store(fleet.url), state_of) == []


@pytest.mark.timeout(120)
def test_a_killed_workers_trial_goes_on_elsewhere_from_its_newest_checkpoint(fleet: Fleet) -> None:
    fleet.create(trials=1, scheduler="none")
    store = open_store(fleet.url)
    fleet.start("coordinator", "--until-done")
    first = fleet.start("worker")
    wait_until(lambda: committed(store) >= 2, 60, lambda: f"two checkpoints\n{fleet.logs()}")
    fleet.kill(first)
    second = fleet.start("worker")
    wait_until(lambda: fleet.processes[second].poll() is not None, 60, lambda: f"the end\n{fleet.logs()}")
    assert audit(store, state_of) == []
    (spec,) = [spec for entry in read_log(store) for spec, _ in entry.issues()]
    chain = read_chain(store, spec)
    assert [link.kind for link in chain] == [LinkKind.CLAIM, LinkKind.FENCE, LinkKind.CLAIM, LinkKind.DONE]
    resumed = chain[2].checkpoint
    assert resumed is not None and resumed.resource >= 2


@pytest.mark.timeout(120)
def test_a_frozen_worker_that_is_continued_after_its_lease_harms_nothing(fleet: Fleet) -> None:
    fleet.create(trials=4)
    store = open_store(fleet.url)
    fleet.start("coordinator", "--until-done")
    frozen = fleet.start("worker")
    wait_until(lambda: any(True for _ in store.list("chain/")), 60, lambda: f"a claim\n{fleet.logs()}")
    fleet.signal(frozen, signal.SIGSTOP)
    fleet.start("worker")
    wait_until(lambda: "fence" in kinds(store), 60, lambda: f"a fence\n{fleet.logs()}")
    fleet.signal(frozen, signal.SIGCONT)
    wait_until(
        lambda: all(p.poll() is not None for p in fleet.processes.values()), 90, f"the end\n{fleet.logs()}"
    )
    assert audit(store, state_of) == []


def committed(store: Store) -> int:
    """Return how many checkpoints are committed."""
    return sum(stat.key.endswith("/manifest.json") for stat in store.list("checkpoints/"))


def kinds(store: Store) -> list[str]:
    """Return the kinds of all links so far."""
    specs = {spec for entry in read_log(store) for spec, _ in entry.issues()}
    return [str(link.kind) for spec in specs for link in read_chain(store, spec)]
