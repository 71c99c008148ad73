"""What a study has cost, told by the command after one of its two workers was killed and both are long gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.chain import read_chain
from storage_schema.keys import WORKERS, SpecId, parse_worker_key, segment_prefix
from storage_schema.metric_log import read_segment
from storage_schema.records import Heartbeat, LinkKind
from storage_schema.store import Blob, Store, open_store
from tests.e2e.accounting import read_log
from tests.e2e.fleet import Fleet, hpo_pipe
from tests.waiting import wait_until

MACHINE = {
    "HPO_PIPE_PROVIDER": "aws",
    "HPO_PIPE_INSTANCE_TYPE": "g5.xlarge",
    "HPO_PIPE_LIFECYCLE": "spot",
    "CUDA_VISIBLE_DEVICES": "0,1",
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, MACHINE, epoch_s=0.3)
    yield fleet
    fleet.close()


@pytest.mark.timeout(180)
def test_a_killed_workers_time_is_counted_for_ever(fleet: Fleet, tmp_path: Path) -> None:
    fleet.create(trials=1, scheduler="none")
    store = open_store(fleet.url)
    fleet.start("coordinator", "--until-done")
    first = fleet.start("worker", "--slots", "1")
    wait_until(lambda: committed(store) >= 2, 60, lambda: f"two checkpoints\n{fleet.logs()}")
    (seen,) = (dict(beat.machine) for beat in heartbeats(store) if beat.role == "worker")
    fleet.kill(first)
    second = fleet.start("worker", "--slots", "1", "--price-per-hour", "3")
    wait_until(lambda: fleet.processes[second].poll() is not None, 60, lambda: f"the end\n{fleet.logs()}")
    for stat in list(store.list(WORKERS)):
        store.delete(stat.key)

    assert (seen["provider"], seen["instance_type"], seen["lifecycle"]) == ("aws", "g5.xlarge", "spot")
    (spec,) = [spec for entry in read_log(store) for spec, _ in entry.issues()]
    chain = read_chain(store, spec)
    assert [link.kind for link in chain] == [LinkKind.CLAIM, LinkKind.FENCE, LinkKind.CLAIM, LinkKind.DONE]
    killed_s, reached = last_report(store, spec, chain[0].at)
    assert chain[2].checkpoint is not None
    again_s = killed_s * (reached - chain[2].checkpoint.resource) / reached

    prices = tmp_path / "prices.toml"
    prices.write_text('["g5.xlarge"]\non_demand = 4.0\nspot = 1.0\n')
    found = json.loads(hpo_pipe("cost", fleet.url, "--json", "--prices", str(prices)))
    training = found["training"]
    assert training["total"]["seconds"] == pytest.approx(killed_s + chain[3].wall_s)
    assert training["repeated"]["seconds"] == pytest.approx(again_s)
    assert training["useful"]["seconds"] == pytest.approx(killed_s + chain[3].wall_s - again_s)
    assert training["lost"]["seconds"] == training["open"]["seconds"] == 0
    assert found["gpu_hours"] == pytest.approx(2 * training["total"]["seconds"] / 3600)
    assert sorted(machine["price_per_hour"] for machine in found["machines"]) == [1.0, 3.0]
    assert 0.3 * 9 < training["total"]["seconds"] < sum(machine["alive_s"] for machine in found["machines"])
    assert found["spent"] == pytest.approx(
        sum(machine["alive_s"] * machine["price_per_hour"] / 3600 for machine in found["machines"])
    )
    assert found["spot_saved"] == pytest.approx(
        sum(machine["alive_s"] * (4.0 - machine["price_per_hour"]) / 3600 for machine in found["machines"])
    )
    assert "spent       unknown (at least $0.00" in hpo_pipe("cost", fleet.url)


@pytest.mark.timeout(60)
def test_a_worker_with_a_wrong_variable_does_not_start(tmp_path: Path) -> None:
    wrong = Fleet((tmp_path / "study").as_uri(), tmp_path, {"HPO_PIPE_LIFECYCLE": "spott"})
    wrong.create(trials=1, scheduler="none")
    name = wrong.start("worker")
    assert wrong.processes[name].wait(50) == 2
    assert "HPO_PIPE_LIFECYCLE is 'spott', expected spot or on-demand (did you mean 'spot'?)" in wrong.log(
        name
    )


def committed(store: Store) -> int:
    return sum(stat.key.endswith("/manifest.json") for stat in store.list("checkpoints/"))


def heartbeats(store: Store) -> Iterator[Heartbeat]:
    for stat in store.list(WORKERS):
        found, worker = store.get(stat.key), parse_worker_key(stat.key)
        if isinstance(found, Blob) and worker:
            yield Heartbeat.from_bytes(found.data, worker)


def last_report(store: Store, spec: SpecId, claimed_at: float) -> tuple[float, int]:
    """Return when the first attempt last reported, counted from its claim, and what."""
    rows = []
    for stat in store.list(segment_prefix(spec, 1)):
        found = store.get(stat.key)
        assert isinstance(found, Blob)
        rows += read_segment(found.data, stat.key).to_pylist()
    return max(row["at"] for row in rows) - claimed_at, max(row["resource"] for row in rows)
