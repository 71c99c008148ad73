"""`hpo-pipe train` as SageMaker starts it: a tree of files, a process, signals, exit codes, a failure file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_schema.chain import read_chain
from storage_schema.history import History
from storage_schema.keys import CHAIN, parse_link_key
from storage_schema.records import Link, LinkKind, Manifest
from storage_schema.sagemaker import hyperparameters
from storage_schema.store import Blob, Store, open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import hpo_pipe
from tests.e2e.slow_training import state_after
from tests.waiting import wait_until

SCRIPT = Path(__file__).with_name("sagemaker_training.py")
EPOCHS = 3

STUDY = """
name = "unchanged"
command = ["{python}", "{script}", "{{args}}", "--checkpoint-path", "/opt/ml/checkpoints"]
layout = "sagemaker"

[metric]
name = "loss"
pattern = 'validation-loss=([0-9.e+-]+);'

[parameters]
learning-rate = {{ type = "float", min = 0.01, max = 0.2 }}
epochs = {epochs}
epoch-seconds = {epoch_s}

[resource]
max = {epochs}

[algorithm]
scheduler = "none"
searcher = "random"

[limits]
trials = {trials}

[worker]
flush = 0.5
lease = 3
grace = 2
tick = 0.5
"""


class Job:
    """A SageMaker training job on this machine: its files, its hosts, its containers' processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "shift.txt").write_text("0.0")

    def root(self, host: str) -> Path:
        return self.folder / host / "opt" / "ml"

    def lay_out(
        self, given: dict[str, Any], host: str = "algo-1", hosts: tuple[str, ...] = ("algo-1",)
    ) -> Path:
        root = self.root(host)
        for inner in ("input/config", "input/data", "model", "output/data"):
            (root / inner).mkdir(parents=True, exist_ok=True)
        if not (root / "input/data/training").exists():
            (root / "input/data/training").symlink_to(self.data)
        files: dict[str, Any] = {
            "hyperparameters": given,
            "resourceconfig": {
                "current_host": host,
                "current_instance_type": "ml.g5.xlarge",
                "hosts": list(hosts),
                "network_interface_name": "eth0",
            },
            "inputdataconfig": {
                "training": {"TrainingInputMode": "File"},
                "feed": {"TrainingInputMode": "Pipe"},
            },
        }
        for name, content in files.items():
            (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
        return root

    def start(self, host: str = "algo-1", **variables: str) -> subprocess.Popen[bytes]:
        arn = "arn:aws:sagemaker:eu-west-1:111122223333:training-job/hpo-unchanged-0001"
        environment = {
            **os.environ,
            "TRAINING_JOB_NAME": "hpo-unchanged-0001",
            "TRAINING_JOB_ARN": arn,
            "HPO_PIPE_SAGEMAKER_ROOT": str(self.root(host)),
            "HPO_PIPE_SCRATCH": str(self.folder / "scratch"),
            **variables,
        }
        with (self.folder / f"{host}.log").open("ab") as log:
            command = [sys.executable, "-m", "hpo_pipe", "train"]
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def log(self, host: str = "algo-1") -> str:
        return (self.folder / f"{host}.log").read_text(errors="replace")

    def failure(self, host: str = "algo-1") -> str | None:
        path = self.root(host) / "output" / "failure"
        return path.read_text() if path.exists() else None

    def create(self, url: str, *, trials: int, epoch_s: float = 0.0) -> None:
        text = STUDY.format(
            python=sys.executable, script=SCRIPT, epochs=EPOCHS, trials=trials, epoch_s=epoch_s
        )
        (self.folder / "study.toml").write_text(text)
        hpo_pipe("create", str(self.folder / "study.toml"), url)

    def coordinate(self, url: str) -> None:
        command = [sys.executable, "-m", "hpo_pipe", "coordinator", url, "--until-done"]
        with (self.folder / "coordinator.log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def left_behind(self, host: str = "algo-1") -> list[str]:
        root = self.root(host)
        return [str(p) for inner in ("model", "output/data") for p in (root / inner).iterdir()]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait(10)


def expected(history: History, trial: int, epoch: int) -> float:
    return state_after(history.trials[trial].parameters["learning-rate"], epoch)


def committed(store: Store) -> bool:
    return any(stat.key.endswith("/manifest.json") for stat in store.list("checkpoints/"))


def read(store: Store, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Blob)
    return found.data


def links(store: Store) -> list[Link]:
    specs = {link.spec for stat in store.list(CHAIN) if (link := parse_link_key(stat.key))}
    return [link for spec in sorted(specs) for link in read_chain(store, spec)]


def test_a_job_of_two_hosts_is_two_workers_of_one_study(job: Job) -> None:
    url = (job.folder / "study").as_uri()
    job.create(url, trials=4, epoch_s=0.1)
    hosts = ("algo-1", "algo-2")
    for host in hosts:
        job.lay_out(hyperparameters(url, {"slots": "1", "idle_timeout": "60"}), host, hosts)
    for process in [job.start(host) for host in hosts]:
        assert process.wait(60) == 0, job.log("algo-1") + job.log("algo-2")
    store = open_store(url)
    assert audit(store, expected) == []
    claims = [link for link in links(store) if link.kind is LinkKind.CLAIM]
    for host in hosts:
        assert any(host in link.author for link in claims), f"{host} took no trial"
        assert job.left_behind(host) == []
        assert job.failure(host) is None
    facts = dict(claims[0].machine)
    assert facts["provider"] == "sagemaker"
    assert facts["instance_type"] == "ml.g5.xlarge"
    assert facts["region"] == "eu-west-1"


def test_a_stopped_job_gives_its_trial_to_another_worker_which_resumes_it(job: Job, s3_url: str) -> None:
    url = s3_url
    job.create(url, trials=1, epoch_s=2.5)
    job.coordinate(url)
    job.lay_out(hyperparameters(url, {"coordinator": False}))
    first, store = job.start(), open_store(url)
    wait_until(lambda: committed(store), 30, lambda: f"a checkpoint; {job.log()}")
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 75, job.log()
    assert job.failure() is None, "an interruption is no failure of the job"
    assert job.left_behind() == []
    assert [link.kind for link in links(store)] == [LinkKind.CLAIM, LinkKind.RELEASE]
    hpo_pipe("worker", url, "--no-coordinator", env={"SM_CHANNEL_TRAINING": str(job.data)})
    assert audit(store, expected) == []
    second_claim, done = links(store)[2:]
    assert (second_claim.kind, done.kind) == (LinkKind.CLAIM, LinkKind.DONE)
    assert second_claim.checkpoint is not None
    assert "resumed after epoch" in hpo_pipe("logs", url, "0")
    assert done.checkpoint is not None
    manifest = Manifest.from_bytes(read(store, done.checkpoint.key), done.checkpoint.key)
    kept = [file.name for file in manifest.files]
    assert kept == ["checkpoints/state.json", "model/model.json", "output/data/notes.txt"]


def test_a_job_whose_own_time_is_over_is_complete(job: Job) -> None:
    url = (job.folder / "study").as_uri()
    job.create(url, trials=1, epoch_s=10.0)
    job.lay_out(hyperparameters(url, {"max_runtime": "3"}))
    assert job.start().wait(30) == 0, job.log()
    assert [link.kind for link in links(open_store(url))] == [LinkKind.CLAIM, LinkKind.RELEASE]
    assert job.failure() is None


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown name": (
        {"study": "{url}", "slot": "1"},
        "hyper-parameter 'slot' is not known (did you mean 'slots'?)",
    ),
    "bad value": ({"study": "{url}", "slots": "many"}, "Invalid value for '--slots': 'many'"),
    "other study": ({"study": "{url}", "study_sha256": "ab" * 32}, "has sha256"),
    "lost program": (
        {"study": "{url}", "command": '["no-such-program"]'},
        "'no-such-program' is not found on PATH",
    ),
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a study that nobody works on."""
    folder = tmp_path_factory.mktemp("standing")
    job = Job(folder)
    job.create((folder / "study").as_uri(), trials=1)
    return (folder / "study").as_uri()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_configuration_error_is_the_jobs_failure_reason(job: Job, standing: str, mistake: str) -> None:
    given, reason = MISTAKES[mistake]
    job.lay_out(
        {name: v.replace("{url}", standing) if isinstance(v, str) else v for name, v in given.items()}
    )
    assert job.start().wait(30) == 78, job.log()
    failure = job.failure()
    assert failure is not None
    assert reason in failure
    assert failure.splitlines()[0] in job.log()
    assert len(failure) <= 1024


def test_what_is_no_training_job_is_told_so(job: Job) -> None:
    assert job.start().wait(30) == 78
    assert "elsewhere there is `hpo-pipe worker`" in (job.failure() or "")


def test_a_failure_reason_holds_no_secret_and_is_not_too_long(job: Job) -> None:
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    job.lay_out({"study": "x", secret: "x", "z" * 200: "x" * 2000})
    assert job.start(AWS_SECRET_ACCESS_KEY=secret).wait(30) == 78
    assert secret not in (job.failure() or secret)
    assert secret not in job.log()
