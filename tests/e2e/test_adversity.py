"""What the world does to a study: full disks, damaged files, expired credentials, stores and trials that misbehave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_pipe.study import open_study
from storage_schema.chain import read_chain
from storage_schema.keys import STUDY
from storage_schema.records import LinkKind
from storage_schema.store import open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet
from tests.e2e.lineage import state_of
from tests.servers.faulty_s3 import Faults, FaultyS3
from tests.servers.proxy import Fault, Proxy, always
from tests.servers.s3 import S3Server, lead_to, s3_environment
from tests.waiting import wait_until


@pytest.fixture
def fleets() -> Iterator[list[Fleet]]:
    """Fleets that are closed at the end."""
    found: list[Fleet] = []
    yield found
    for fleet in found:
        fleet.close()


def over(fleet: Fleet) -> None:
    """Wait for the end of all processes."""
    wait_until(lambda: all(p.poll() is not None for p in fleet.processes.values()), 90, fleet.logs)


@pytest.mark.timeout(150)
def test_expired_credentials_are_named_waited_out_and_nothing_is_lost(
    s3_server: S3Server, fleets: list[Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.new_url()
    with Proxy(s3_server.endpoint) as proxy:
        fleet = Fleet(url, tmp_path, s3_server.environment(proxy.endpoint), epoch_s=0.3)
        fleets.append(fleet)
        fleet.create(trials=6)
        coordinator, worker = fleet.start("coordinator", "--until-done"), fleet.start("worker")
        for name, value in s3_server.environment().items():
            monkeypatch.setenv(name, value)
        store = open_store(url)
        wait_until(lambda: len(list(store.list("chain/"))) >= 3, 60, fleet.logs)
        proxy.plan = always(Fault("expired"))
        wait_until(lambda: "waiting:" in fleet.log(coordinator), 60, fleet.logs)
        wait_until(lambda: "waiting:" in fleet.log(worker), 60, fleet.logs)
        before = len(read_log(store))
        proxy.plan = lambda _: None
        over(fleet)
        assert "expired" in fleet.log(worker).lower()
        assert {p.returncode for p in fleet.processes.values()} == {0}
        assert len(read_log(store)) > before
        assert audit(store, state_of) == []


@pytest.mark.timeout(150)
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root and mount(8)")
def test_a_full_disk_is_waited_out_and_nothing_is_torn(fleets: list[Fleet], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        fleet = Fleet((disk / "study").as_uri(), tmp_path, epoch_s=0.2)
        fleets.append(fleet)
        fleet.create(trials=6)
        coordinator = fleet.start("coordinator", "--until-done")
        worker = fleet.start("worker")
        store = open_store(fleet.url)
        wait_until(lambda: len(list(store.list("chain/"))) >= 2, 60, fleet.logs)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"x" * 4096)
        wait_until(lambda: "no space left" in fleet.log(worker) + fleet.log(coordinator), 60, fleet.logs)
        ballast.unlink()
        over(fleet)
        assert {p.returncode for p in fleet.processes.values()} == {0}
        assert audit(store, state_of) == []
        fleet.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.timeout(120)
def test_an_unreadable_checkpoint_is_passed_over_for_an_older_one(
    fleets: list[Fleet], tmp_path: Path
) -> None:
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, epoch_s=0.4)
    fleets.append(fleet)
    fleet.create(trials=1, scheduler="none")
    store = open_store(fleet.url)

    def committed() -> list[str]:
        return [stat.key for stat in store.list("checkpoints/") if stat.key.endswith("manifest.json")]

    fleet.start("coordinator", "--until-done")
    first = fleet.start("worker")
    wait_until(lambda: len(committed()) >= 2, 60, fleet.logs)
    fleet.kill(first)
    newest = committed()[-1]
    damaged = tmp_path / "study" / newest.replace("manifest.json", "files/state.json")
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    fleet.start("worker")
    over(fleet)
    (spec,) = [spec for entry in read_log(store) for spec, _ in entry.issues()]
    assert [link.kind for link in read_chain(store, spec)][-1] is LinkKind.DONE
    assert audit(store, state_of) == []


def test_trials_that_misbehave_end_as_what_they_are(tmp_path: Path) -> None:
    ways = ["good", "nan", "silent", "crash", "flood"]
    (tmp_path / "study.toml").write_text(f"""
name = "awkward"
command = ["{sys.executable}", "{Path(__file__).with_name("awkward_training.py")}"]
[metric]
name = "loss"
[parameters]
way = {{ type = "categorical", values = {ways} }}
[algorithm]
searcher = "grid"
[worker]
retries = 1
flush = 0.5
lease = 5
""")
    done = subprocess.run(
        [sys.executable, "-m", "hpo_pipe", "run", str(tmp_path / "study.toml"), str(tmp_path / "study")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    study = open_study(str(tmp_path / "study"))
    states = {trial.params["way"]: trial.state for trial in study.trials}
    assert states == {
        "good": "COMPLETE",
        "nan": "COMPLETE",
        "silent": "FAILED",
        "crash": "FAILED",
        "flood": "COMPLETE",
    }
    best = study.best_trial
    assert best is not None and best.params["way"] == "good" and study.best_value == 0.5
    store = open_store(study.url)
    chains = {
        str(issue.parameters["way"]): read_chain(store, spec)
        for entry in read_log(store)
        for spec, issue in entry.issues()
    }
    kinds = {way: [str(link.kind) for link in chain] for way, chain in chains.items()}
    assert kinds["silent"] == ["claim", "fail"]  # training again would tell nobody again
    assert "loss" in chains["silent"][-1].reason
    assert kinds["crash"] == ["claim", "fail", "claim", "fail"]
    assert "out of memory, say" in chains["crash"][-1].tail
    flood = [stat for stat in store.list("output/") if stat.size > 1_000_000]
    assert [stat.size < 3_000_000 for stat in flood] == [True]
    assert audit(store) == []


@pytest.mark.parametrize("conditions", ["ignored", "not implemented"])
def test_a_bucket_without_conditional_writes_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conditions: str
) -> None:
    (tmp_path / "study.toml").write_text(
        'name = "refused"\ncommand = ["true"]\n[metric]\nname = "loss"\n'
        '[parameters]\nlr = { type = "float", min = 0, max = 1 }\n'
    )
    with FaultyS3(Faults(conditions=conditions)) as server:  # type: ignore[arg-type]
        done = subprocess.run(
            [sys.executable, "-m", "hpo_pipe", "create", str(tmp_path / "study.toml"), "s3://bucket/first"],
            env={**os.environ, **s3_environment(server.endpoint)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 78, done.stderr
        assert "create" in done.stderr and "Traceback" not in done.stderr
        lead_to(server.endpoint, monkeypatch)
        assert open_store("s3://bucket/first").get(STUDY) is None
