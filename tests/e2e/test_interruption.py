"""A machine is taken away in mid-trial: real workers, a pretended metadata service, and a clean record afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.chain import read_chain
from storage_schema.keys import SpecId
from storage_schema.records import LinkKind
from storage_schema.store import Store, open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet
from tests.e2e.lineage import state_of
from tests.e2e.test_worker_process import SPEC, Bench, ended
from tests.servers.imds import InstanceMetadata
from tests.servers.proxy import Fault, Proxy
from tests.servers.s3 import S3Server, lead_to
from tests.waiting import wait_until
from workers.last_resort import REASON

EPOCH_S = 0.7
"""Nine of them take longer than it takes until the metadata service is asked again."""


@pytest.fixture
def instance() -> Iterator[InstanceMetadata]:
    with InstanceMetadata() as service:
        yield service


def leading_to(instance: InstanceMetadata) -> dict[str, str]:
    """Return the variables of a worker on that spot instance."""
    return {
        "HPO_PIPE_PROVIDER": "ec2",
        "HPO_PIPE_LIFECYCLE": "spot",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": instance.endpoint,
        "AWS_EC2_METADATA_DISABLED": "false",
    }


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def fleet(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    instance: InstanceMetadata,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    env: dict[str, str] = {}
    if request.param == "file":
        url = (tmp_path / "study").as_uri()
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        for name, value in server.environment().items():
            env[name] = value
            monkeypatch.setenv(name, value)
        url = f"s3://{server.new_bucket()}/studies/spot"
    fleet = Fleet(url, tmp_path, {**env, **leading_to(instance)}, epoch_s=EPOCH_S)
    yield fleet
    fleet.close()


def only_spec(store: Store) -> SpecId:
    (spec,) = [spec for entry in read_log(store) for spec, _ in entry.issues()]
    return spec


def committed(store: Store) -> int:
    return sum(stat.key.endswith("/manifest.json") for stat in store.list("checkpoints/"))


@pytest.mark.timeout(120)
def test_a_spot_notice_in_mid_trial_costs_no_training(fleet: Fleet, instance: InstanceMetadata) -> None:
    fleet.create(trials=1, scheduler="none")
    store = open_store(fleet.url)
    fleet.start("coordinator", "--until-done")
    first = fleet.start("worker")
    wait_until(lambda: committed(store) >= 2, 60, lambda: f"two checkpoints\n{fleet.logs()}")
    spec = only_spec(store)

    instance.give_notice("terminate", left_s=120)
    noticed = time.monotonic()
    wait_until(
        lambda: read_chain(store, spec)[-1].kind is LinkKind.RELEASE, 30, lambda: f"release\n{fleet.logs()}"
    )
    released_s = time.monotonic() - noticed
    assert fleet.processes[first].wait(20) == 75
    ended_s = time.monotonic() - noticed
    assert "EC2 spot notice: terminate in 1" in fleet.log(first)
    assert ended_s < 120

    del instance.data["spot/instance-action"]  # another machine
    second = fleet.start("worker")
    wait_until(lambda: len(read_chain(store, spec)) > 2, 60, lambda: f"a second claim\n{fleet.logs()}")
    resumed_s = time.monotonic() - noticed
    wait_until(lambda: fleet.processes[second].poll() is not None, 60, lambda: f"the end\n{fleet.logs()}")
    print(f"released {released_s:.1f} s after the notice, ended {ended_s:.1f} s, resumed {resumed_s:.1f} s")

    chain = read_chain(store, spec)
    assert [link.kind for link in chain] == [LinkKind.CLAIM, LinkKind.RELEASE, LinkKind.CLAIM, LinkKind.DONE]
    assert chain[1].resource >= 2
    assert chain[2].checkpoint is not None
    assert chain[2].checkpoint.resource == chain[1].resource, "training was lost"
    assert [link.failures for link in chain] == [0, 0, 0, 0]
    assert audit(store, state_of) == []


DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("pid").write_text(str(__import__("os").getpid()))
pathlib.Path("ready").touch()
time.sleep(600)
"""

RARE = """
import json, pathlib, time
from hpo_pipe.trial import current_trial

trial = current_trial()
for epoch in trial.steps():
    pathlib.Path("ready").touch()
    until = time.monotonic() + (60 if epoch == 0 else 0)
    while not trial.should_save and time.monotonic() < until:
        time.sleep(0.02)
    trial.report(loss=1.0)
    if trial.should_save:
        with trial.save_checkpoint() as folder:
            (folder / "epoch").write_text(str(epoch + 1))
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def start(bench: Bench, program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a worker, and wait until its trial trains."""
    (bench.folder / "program.py").write_text(program)
    bench.create("python", "program.py")
    worker = bench.worker(*arguments)
    wait_until((bench.folder / "ready").exists, 30, "a trial that trains")
    return worker


def test_a_trial_that_ignores_everything_is_killed_and_its_claim_released_inside_the_grace(
    bench: Bench,
) -> None:
    worker = start(bench, DEAF, "--grace", "3")
    trial = int((bench.folder / "pid").read_text())
    signalled_at = time.time()
    worker.send_signal(signal.SIGTERM)
    code, said = ended(worker)
    assert code == 75, said
    release = bench.chain()[-1]
    assert (release.kind, release.failures) == (LinkKind.RELEASE, 0)
    assert release.at - signalled_at < 3.0, said
    with pytest.raises(ProcessLookupError):
        os.kill(trial, 0)


def test_a_recommendation_makes_a_trial_save_and_go_on(
    bench: Bench, instance: InstanceMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in leading_to(instance).items():
        monkeypatch.setenv(name, value)
    instance.recommend_rebalance()
    worker = start(bench, RARE, "--drain")
    code, said = ended(worker)
    assert code == 0, said
    assert "trials are asked to save, and go on" in said
    assert [link.kind for link in bench.chain()] == [LinkKind.CLAIM, LinkKind.DONE]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_checkpoint_that_is_not_uploaded_in_time_is_left_out(
    bench: Bench, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(s3_server.endpoint) as proxy:
        lead_to(proxy.endpoint, monkeypatch)
        bench.url = s3_server.new_url()
        bench.store = open_store(bench.url)
        bench.create("python", "train.py", "0.3", to=30)
        worker = bench.worker("--grace", "4")
        wait_until(lambda: bench.committed() >= 1, 30, "a checkpoint")
        hangs = Fault("delay", 60.0)
        proxy.plan = lambda request: hangs if request.method == "PUT" and "/files/" in request.path else None
        wait_until(lambda: any(fault for _, _, fault in proxy.seen), 30, "an upload that hangs")
        signalled_at = time.time()
        worker.send_signal(signal.SIGTERM)
        code, said = ended(worker)
        assert code == 75, said
        release = bench.chain()[-1]
        assert (release.kind, release.reason, release.failures) == (LinkKind.RELEASE, REASON, 0)
        assert release.at - signalled_at < 4.0, said

        proxy.plan = lambda request: None
        newest = bench.committed()
        bench.offer(SPEC)
        bench.worker()
        wait_until(lambda: len(bench.chain()) == 3, 30, "a second claim")
        resumed = bench.chain()[2].checkpoint
        assert resumed is not None
        assert resumed.resource >= newest


SCONTROL = """#!/bin/sh
[ "$1" = requeue ] || exec echo "JobId=45 {fields} EndTime=Unknown"
echo "$@" >> "{folder}/scontrol.log"
"""
RUNNING = "JobState=RUNNING Requeue=1 StartTime=1000000"


@pytest.mark.parametrize(
    ("number", "fields", "calls"),
    [
        (signal.SIGUSR1, f"{RUNNING} PreemptTime=None", ["requeue 42_3"]),
        (signal.SIGTERM, f"{RUNNING} PreemptTime=1000100", ["requeue 42_3"]),
        (signal.SIGTERM, "JobState=CANCELLED Requeue=1 StartTime=1000000 PreemptTime=None", []),
    ],
    ids=["time-limit", "preempted", "cancelled"],
)
def test_slurms_job_that_goes_on_is_put_back_once_everything_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, fields: str, calls: list[str]
) -> None:
    program = bench.folder / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(SCONTROL.format(folder=bench.folder, fields=fields))
    program.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "45", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "3"}
    for name, value in {**slurm, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    worker = start(bench, RARE, "--requeue")
    worker.send_signal(number)
    code, said = ended(worker)
    assert code == 75, said
    log = bench.folder / "scontrol.log"
    assert (log.read_text().splitlines() if log.exists() else []) == calls
    assert bench.chain()[-1].kind is LinkKind.RELEASE
    if calls:
        assert said.index("giving back") < said.index("back in the queue")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--requeue",), "SLURM_JOB_ID is not set"),
        (("--notices", "ec2"), "AWS_EC2_METADATA_DISABLED"),
        (("--grace", "0"), "--grace"),
    ],
)
def test_what_cannot_be_on_this_machine_is_refused_before_anything_is_claimed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bench.create("true")
    code, said = ended(bench.worker(*arguments))
    assert code == 2
    assert words in said
    assert bench.chain() == []
