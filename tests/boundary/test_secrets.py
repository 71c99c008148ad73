"""Secrets planted wherever they may stand in a real run: none is found in storage, in a log, or on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from storage_schema.store import Blob, open_store
from tests.e2e.fleet import Fleet
from tests.servers.loopback import Answer, Request
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3Server, lead_to
from tests.waiting import wait_until

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "MY_DB_PASSWORD": "correct horse battery",
}
SECRETS = (ACCESS_KEY, *PLANTED.values(), "printed-by-the-trial-0123456789")

TRAIN = """
import os, sys
from hpo_pipe.trial import current_trial

def main():
    trial = current_trial()
    for name, value in os.environ.items():
        print(f"{name}={value}", flush=True)
    print("Authorization: Bearer printed-by-the-trial-0123456789", file=sys.stderr, flush=True)
    sys.stdout.write(os.environ["WANDB_API_KEY"][:20]); sys.stdout.flush()
    sys.stdout.write(os.environ["WANDB_API_KEY"][20:] + "\\n"); sys.stdout.flush()
    for _ in trial.steps():
        trial.report(loss=trial.params["lr"])
    if trial.params["lr"] < 10:
        raise ValueError("cannot log in with " + os.environ["MY_DB_PASSWORD"])

if __name__ == "__main__":
    main()
"""

STUDY = """
name = "leaky"
{program}
metric = {{ name = "loss", goal = "minimize" }}
parameters = {{ lr = {{ type = "float", min = 0.0, max = 1.0 }} }}
resource = {{ name = "epoch", max = 1 }}
algorithm = {{ scheduler = "none", searcher = "random" }}
limits = {{ trials = 2 }}
worker = {{ flush = 0.5, lease = 3, grace = 2, tick = 0.5, retries = 0 }}
"""


class Echo(Proxy):
    """Answers some reads as AWS does, with what it was sent in the error's text."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.left = 6

    def answer(self, request: Request) -> Answer:
        if request.method == "GET" and "hints/board" in request.path and self.left:
            self.left -= 1
            code = ("InvalidAccessKeyId", "SignatureDoesNotMatch")[self.left % 2]
            said = f"{ACCESS_KEY} {PLANTED['AWS_SECRET_ACCESS_KEY']}"
            body = (
                f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message>"
                f"<AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId><StringToSign>{said}</StringToSign></Error>"
            )
            return Answer(403, {"Content-Type": "application/xml"}, body.encode())
        return super().answer(request)


@pytest.mark.parametrize("program", ['function = "leaky:main"', 'command = ["python", "leaky.py"]'])
def test_a_run_with_planted_secrets(
    program: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaky.py").write_text(textwrap.dedent(TRAIN))
    (tmp_path / "study.toml").write_text(STUDY.format(program=program))
    url = s3_server.new_url()
    with Echo(s3_server.endpoint) as echo:
        env = {**s3_server.environment(echo.endpoint), **PLANTED, "AWS_ACCESS_KEY_ID": ACCESS_KEY}
        created = hpo_pipe(["create", "study.toml", url], env, tmp_path)
        assert created.returncode == 0, created.stderr
        fleet = Fleet(url, tmp_path, env)
        try:
            fleet.start("coordinator", "--until-done")
            fleet.start("worker", "--workdir", str(tmp_path))
            wait_until(
                lambda: all(process.poll() is not None for process in fleet.processes.values()),
                90,
                fleet.logs,
            )
        finally:
            fleet.close()
        shown = [hpo_pipe([name, url, *more], env, tmp_path) for name, *more in LOOKS]
    lead_to(s3_server.endpoint, monkeypatch)
    store = open_store(url)
    found = {stat.key: store.get(stat.key) for stat in store.list("")}
    stored = {key: blob.data for key, blob in found.items() if isinstance(blob, Blob)}
    texts = {
        **stored,
        **{f"log of {name}": fleet.log(name).encode() for name in fleet.processes},
        **{f"output of {done.args}": (done.stdout + done.stderr).encode() for done in (created, *shown)},
    }
    assert any(key.startswith("output/") for key in stored) and len(stored) > 10
    failed = b"".join(data for key, data in stored.items() if key.startswith("chain/"))
    assert b"cannot log in with ***" in failed or (program.startswith("command") and b"***" in failed)
    assert b"WANDB_API_KEY=***" in b"".join(data for key, data in stored.items() if key.startswith("output/"))
    leaks = [
        (place, secret) for place, text in texts.items() for secret in SECRETS if secret.encode() in text
    ]
    assert leaks == []


LOOKS = (("status",), ("trials",), ("why", "0"), ("logs", "0"))


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        (f"s3://{ACCESS_KEY}:{PLANTED['AWS_SECRET_ACCESS_KEY']}@bucket/first", "wJalrXUtnFEMI"),
        ("s3://bucket/first?X-Amz-Signature=0123456789abcdef&X-Amz-Credential=abc", "0123456789abcdef"),
        ("https://user:hunter2-hunter2@host/first", "hunter2"),
    ],
)
@pytest.mark.parametrize("command", ["status", "worker", "doctor"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(
    command: str, url: str, secret: str, tmp_path: Path
) -> None:
    done = hpo_pipe([command, url], {}, tmp_path)
    assert done.returncode == 2 and "study URL" in done.stderr
    assert secret not in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["status", "worker"])
def test_a_password_in_the_endpoint_is_not_repeated(command: str, tmp_path: Path) -> None:
    for endpoint in ("http://user:hunter2-hunter2@127.0.0.1:9", "http//user:hunter2-hunter2@nowhere"):
        env = {"AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1"}
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": PLANTED["AWS_SECRET_ACCESS_KEY"]}
        process = subprocess.Popen(
            [sys.executable, "-m", "hpo_pipe", command, "s3://bucket/first"],
            env={**os.environ, **env, **keys},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said = process.communicate(timeout=8)[0]
        except subprocess.TimeoutExpired:  # a worker waits for a store that is away
            process.kill()
            said = process.communicate()[0]
        assert b"hunter2" not in said and b"wJalrXUtnFEMI" not in said


def hpo_pipe(arguments: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpo_pipe", *arguments],
        env={**os.environ, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
