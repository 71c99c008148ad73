"""What ``submit sagemaker`` and ``submit aws-batch`` ask AWS for is taken by moto, and then run by real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from storage_schema.chain import read_chain
from storage_schema.keys import CHAIN, parse_link_key
from storage_schema.records import LinkKind
from storage_schema.store import open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import Fleet
from tests.servers.batch import new_queue
from tests.servers.s3 import S3Server, use_s3

ROLE = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/train:7"


@pytest.fixture
def fleet(moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    url = use_s3(moto_server, monkeypatch)
    fleet = Fleet(url, tmp_path, epoch_s=0.01)
    fleet.create(trials=3, scheduler="none")
    yield fleet
    fleet.close()


def hpo_pipe(*arguments: str) -> str:
    """Run a command in this process, and return what it printed."""
    done = CliRunner().invoke(cli, arguments, prog_name="hpo-pipe")
    assert done.exit_code == 0, done.output
    return done.stdout


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start what a container would: the image's entry point with a job's arguments and variables."""
    variables = {**os.environ, **environment, "HPO_PIPE_SCRATCH": str(folder / "scratch")}
    with (folder / "workers.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "hpo_pipe", *arguments], env=variables, cwd=folder, stdout=log, stderr=log
        )


def machines(url: str) -> list[dict[str, str]]:
    """Return what the claims say of the machines."""
    store = open_store(url)
    specs = {link.spec for stat in store.list(CHAIN) if (link := parse_link_key(stat.key))}
    links = [link for spec in specs for link in read_chain(store, spec)]
    return [dict(link.machine) for link in links if link.kind is LinkKind.CLAIM]


def test_training_jobs_and_an_arrays_children_are_workers_of_one_study(
    fleet: Fleet, tmp_path: Path, moto_server: S3Server
) -> None:
    batch, queue = new_queue(moto_server)
    common = ("--env", "TEST_EPOCH_S=0.01", "--price-per-hour", "0.5")
    given = ("--spot", "--instance-type", "ml.g5.xlarge", "--role-arn", ROLE, "--image", IMAGE)
    command = ("submit", "sagemaker", fleet.url, *common, *given)
    (call,) = json.loads(hpo_pipe(*command, "--dry-run", "--output", "json"))
    (job,) = hpo_pipe(*command).split()
    told = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert told["HyperParameters"] == call["parameters"]["HyperParameters"]
    given = ("--job-queue", queue, "--image", "repo/train:1", "--vcpus", "1", "--memory", "512")
    array = hpo_pipe("submit", "aws-batch", fleet.url, *common, *given, "--workers", "2").split()
    (parent,) = batch.describe_jobs(jobs=array)["jobs"]
    assert parent["arrayProperties"]["size"] == 2
    container = parent["container"]

    config = tmp_path / "opt" / "ml" / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(told["HyperParameters"]))
    resources = {"current_host": "algo-1", "hosts": ["algo-1"], "current_instance_type": "ml.g5.xlarge"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    root = {"HPO_PIPE_SAGEMAKER_ROOT": str(tmp_path / "opt" / "ml"), "TRAINING_JOB_NAME": job}
    environment = call["parameters"]["Environment"]  # which moto forgets
    variables = {one["name"]: one["value"] for one in container["environment"]}
    fleet.start("coordinator")
    workers = [
        run(["train"], {**environment, **root}, tmp_path),
        *(run(container["command"], variables, tmp_path) for _ in range(2)),
    ]
    assert [worker.wait(90) for worker in workers] == [0, 0, 0], (tmp_path / "workers.log").read_text()
    assert audit(open_store(fleet.url)) == []
    wanted = {
        "sagemaker": {"instance_type": "ml.g5.xlarge", "lifecycle": "spot", "submission": "1"},
        "aws-batch": {"submission": "2"},
    }
    claimed = machines(fleet.url)
    assert len(claimed) >= 3
    for machine in claimed:
        facts = {"region": "us-east-1", "price_per_hour": "0.5", **wanted[machine["provider"]]}
        assert facts.items() <= machine.items()
    found = json.loads(hpo_pipe("submit", "status", fleet.url, "--all", "--json"))
    assert [[one["state"] for one in each["jobs"]] for each in found] == [["done"], ["done", "done"]]
