"""Real workers that run trials in packed code, with secrets: on a folder and on an S3 server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from hpo_pipe.launch.code import Archive, pack, upload
from storage_schema.keys import CHAIN, code_key
from storage_schema.store import Blob, Store, open_store
from tests.e2e.fleet import Fleet, hpo_pipe
from tests.servers.s3 import S3Server, lead_to
from tests.waiting import wait_until

SECRET = "a-quite-ordinary-sentence without form"
IN_FILE = "another sentence that nobody guesses"
WITHHELD = "what the worker alone should have"

TRAIN = """
import os
from pathlib import Path
from hpo_pipe.trial import current_trial
from pkg.model import loss

GUESS = "GUESSED"

def main():
    trial = current_trial()
    print("in", Path.cwd(), flush=True)
    print("secrets", os.environ.get("FROM_AWS"), os.environ.get("FROM_FILE"), flush=True)
    print("kept", os.environ.get("KEPT"), "".join(map(chr, GUESS)), flush=True)
    for _ in trial.steps():
        trial.report(loss=loss(trial.params["lr"]))

if __name__ == "__main__":
    main()
"""

STUDY = """
name = "packed"
PROGRAM
environment = { FROM_FILE = "the study's own" }
metric = { name = "loss", goal = "minimize" }
parameters = { lr = { type = "float", min = 0.0, max = 1.0 } }
resource = { name = "epoch", max = 1 }
algorithm = { scheduler = "none", searcher = "random" }
limits = { trials = 4 }
worker = { flush = 0.5, lease = 3, grace = 2, tick = 0.5, retries = 0 }
"""


@pytest.fixture
def code(tmp_path: Path) -> Archive:
    folder = tmp_path / "code"
    (folder / "pkg").mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN.replace('"GUESSED"', str(list(WITHHELD.encode()))))
    (folder / "pkg" / "model.py").write_text("def loss(lr):\n    return lr\n")
    return pack(folder)


@pytest.fixture
def fleet_in(tmp_path: Path) -> Iterator[Any]:
    fleets: list[Fleet] = []

    def made(url: str, env: dict[str, str], program: str = 'command = ["python", "train.py"]') -> Fleet:
        (tmp_path / "study.toml").write_text(STUDY.replace("PROGRAM", program))
        (tmp_path / "scratch").mkdir(exist_ok=True)
        env = {**env, "HPO_PIPE_SCRATCH": str(tmp_path / "scratch")}
        hpo_pipe("create", str(tmp_path / "study.toml"), url, env=env)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        fleets.append(Fleet(url, tmp_path, env, cwd=elsewhere))
        return fleets[-1]

    yield made
    for fleet in fleets:
        fleet.close()


def everything(store: Store) -> dict[str, bytes]:
    found = {stat.key: store.get(stat.key) for stat in store.list("")}
    return {key: blob.data for key, blob in found.items() if isinstance(blob, Blob)}


def ended(fleet: Fleet) -> None:
    wait_until(lambda: all(p.poll() is not None for p in fleet.processes.values()), 90, fleet.logs)


def run_two_workers(fleet: Fleet, store: Store, code: Archive, *options: str) -> dict[str, bytes]:
    """Run the study to its end by two workers; return all that is stored."""
    assert upload(store, code) and not upload(store, code)
    fleet.start("coordinator", "--until-done")
    workers = [fleet.start("worker", "--code", code.sha256, "--slots", "2", *options) for _ in range(2)]
    ended(fleet)
    assert [fleet.processes[worker].returncode for worker in workers] == [0, 0], fleet.logs()
    stored = everything(store)
    outputs = [data for key, data in stored.items() if key.startswith("output/")]
    assert len(outputs) == 4
    places = {match[1] for data in outputs if (match := re.search(rb"in (\S+)", data))}
    assert places == {str(fleet.folder / "scratch" / f"hpo-pipe-code-{os.getuid()}" / code.sha256).encode()}
    claims = [
        json.loads(data)
        for key, data in stored.items()
        if key.startswith(CHAIN) and key.endswith("0001.json")
    ]
    assert {claim["machine"]["code"] for claim in claims} == {code.sha256}
    assert list((fleet.folder / "scratch" / f"hpo-pipe-code-{os.getuid()}").iterdir()) == []
    return stored


@pytest.mark.parametrize("program", ['command = ["python", "train.py"]', 'function = "train:main"'])
def test_two_workers_share_code_on_a_folder_and_have_secrets_from_a_file_and_from_who_starts_them(
    program: str, code: Archive, fleet_in: Any, tmp_path: Path
) -> None:
    """No name says that they are secrets: the worker is told."""
    (tmp_path / "secret").write_text(IN_FILE + "\n")
    url = f"file://{tmp_path}/study"
    fleet = fleet_in(url, {"FROM_AWS": SECRET, "KEPT": WITHHELD}, program)
    options = ("--secret", f"FROM_FILE=file:{tmp_path}/secret", "--secret-variable", "FROM_AWS")
    options = (*options, "--secret-variable", "KEPT", "--withhold", "KEPT")
    stored = run_two_workers(fleet, open_store(url), code, *options)
    assert any(b"secrets *** ***\nkept None ***" in data for data in stored.values())
    for secret in (IN_FILE, SECRET, WITHHELD):
        assert_nowhere(secret, stored, fleet)


def test_two_workers_share_code_in_s3_and_read_a_secret_of_aws(
    code: Archive, fleet_in: Any, s3_server: S3Server, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(moto_server.endpoint, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    secrets: Any = boto3.client("secretsmanager", region_name="us-east-1")
    arn = secrets.create_secret(Name="e2e/packed", SecretString=json.dumps({"token": SECRET}))["ARN"]
    url = s3_server.new_url()
    fleet = fleet_in(url, {})
    stored = run_two_workers(fleet, open_store(url), code, "--secret", f"FROM_AWS={arn}#token")
    assert any(b"secrets *** the study's own" in data for data in stored.values())
    assert_nowhere(SECRET, stored, fleet)


def assert_nowhere(secret: str, stored: dict[str, bytes], fleet: Fleet) -> None:
    texts = {**stored, **{name: fleet.log(name).encode() for name in fleet.processes}}
    assert [place for place, text in texts.items() if secret.encode() in text] == []


def test_mistakes_end_a_worker_before_it_claims_anything(
    code: Archive, fleet_in: Any, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/study"
    fleet_in(url, {})
    store = open_store(url)
    store.create(code_key("1" * 64), b"something else")
    upload(store, code)
    for options, status, said in (
        (("--code", code.sha256, "--workdir", "."), 2, "--code and --workdir"),
        (("--code", "abc"), 2, "expected a sha256"),
        (("--code", "0" * 64), 78, "no code at"),
        (("--code", "1" * 64), 65, "it has sha256"),
        (("--secret", "A=hunter22hunter22"), 2, "--secret A: expected arn:"),
        (("--secret", "HPO_PIPE_TRIAL=file:/x"), 2, "are ours"),
        (("--secret", f"A=file:{tmp_path}/missing"), 78, "--secret A: .*missing: No such file"),
        (
            ("--secret-variable", "NOT_SET"),
            78,
            "--secret-variable NOT_SET: not set, or empty, in this worker",
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "hpo_pipe", "worker", url, *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == status and re.search(said, done.stderr), (options, done)
        assert "hunter22" not in done.stderr
    assert not list(store.list(CHAIN))
