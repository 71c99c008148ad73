"""The images for real: built, and a study trained, interrupted and continued in them. Needs a docker daemon."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_schema.keys import CHAIN, LOG, parse_link_key
from storage_schema.records import Link, LinkKind
from storage_schema.store import Blob, open_store
from tests.e2e.fleet import SCRIPT, STUDY
from tests.e2e.test_lambda import RuntimeApi
from tests.infra.containers import NO_NETWORK, build, docker
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OWNER = 4242
"""Some user whom the image does not know."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The workers' image."""
    yield from build("Dockerfile", f"hpo-pipe-test:{secrets.token_hex(4)}", tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def lambda_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The coordinator's image."""
    tag = f"hpo-pipe-test-lambda:{secrets.token_hex(4)}"
    yield from build("Dockerfile.lambda", tag, tmp_path_factory.mktemp("lambda"), extra="[lambda]")


class Place:
    """A folder with a study and its training script, which containers of any user share."""

    def __init__(self, image: str, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.owner = OWNER if os.getuid() == 0 else os.getuid()
        self.started: list[str] = []
        (folder / "train.py").write_text(SCRIPT.read_text())
        file = folder / "study.toml"
        file.write_text(STUDY.format(python="python3", script="/s/train.py", scheduler="none", trials=1))
        if os.getuid() == 0:
            for path in (folder, file, folder / "train.py"):
                os.chown(path, OWNER, OWNER)
        self.run("create", "/s/study.toml", "/s/study")

    def options(self, *more: str) -> list[str]:
        user = f"{self.owner}:{self.owner}"
        return [*NO_NETWORK, "--user", user, "--volume", f"{self.folder}:/s", *more]

    def run(self, *arguments: str) -> str:
        return docker("run", "--rm", *self.options(), self.image, *arguments).stdout

    def start(self, *arguments: str, more: tuple[str, ...] = (), epoch_s: float = 0.3) -> str:
        options = self.options("--env", f"TEST_EPOCH_S={epoch_s}", *more)
        name = docker("run", "--detach", *options, self.image, *arguments).stdout.strip()
        self.started.append(name)
        return name

    def links(self) -> list[Link]:
        store = open_store(str(self.folder / "study"))
        found = []
        for item in store.list(CHAIN):
            blob = store.get(item.key)
            name = parse_link_key(item.key)
            assert isinstance(blob, Blob) and name
            found.append(Link.from_bytes(blob.data, name))
        return found

    def kinds(self) -> list[LinkKind]:
        return [link.kind for link in self.links()]

    def close(self) -> None:
        for name in self.started:
            docker("rm", "--force", name, check=False)


@pytest.fixture
def place(image: str, tmp_path: Path) -> Iterator[Place]:
    """A study in a folder."""
    made = Place(image, tmp_path)
    yield made
    made.close()


def exit_code(name: str) -> int:
    return int(docker("wait", name).stdout)


def test_what_the_image_says_of_itself(image: str) -> None:
    (told,) = json.loads(docker("image", "inspect", image).stdout)
    config: dict[str, Any] = told["Config"]
    assert config["Entrypoint"] == ["hpo-pipe"] and config["StopSignal"] == "SIGTERM"
    assert config["User"] not in ("", "0", "root")
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    version = docker("run", "--rm", *NO_NETWORK, image, "--version").stdout.split()[-1]
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert "Usage: hpo-pipe" in docker("run", "--rm", *NO_NETWORK, image, "--help").stdout


def test_nothing_but_the_package_is_in_the_image(image: str) -> None:
    look = "id -u; ls -A /usr/src/hpo-pipe; ls -A /training; grep -rl never-to-be-seen /usr/src /training /home || true"
    said = docker("run", "--rm", *NO_NETWORK, "--entrypoint", "sh", image, "-c", look).stdout.split()
    assert said == ["10001"]


def test_docker_stop_in_mid_trial_gives_it_back_and_another_container_goes_on(place: Place) -> None:
    first = place.start("worker", "/s/study")
    wait_until(lambda: len(list((place.folder / "study").rglob("manifest.json"))) >= 2, 60, "two checkpoints")
    began = time.monotonic()
    docker("stop", "--time", "60", first)
    took_s = time.monotonic() - began
    assert exit_code(first) == 75 and took_s < 15
    assert place.kinds() == [LinkKind.CLAIM, LinkKind.RELEASE]
    second = place.start("worker", "/s/study", more=("--init",))
    assert exit_code(second) == 0, docker("logs", second).stderr
    assert place.kinds() == [LinkKind.CLAIM, LinkKind.RELEASE, LinkKind.CLAIM, LinkKind.DONE]
    assert "claimed from" in docker("logs", second).stderr
    assert "COMPLETE" in place.run("trials", "/s/study")


def test_a_stop_in_the_first_second_is_heard(place: Place) -> None:
    name = place.start("worker", "/s/study", epoch_s=30)
    wait_until(
        lambda: b"workers" in _command_line(name) or b"hpo_pipe" in _command_line(name), 20, "the worker"
    )
    docker("kill", "--signal", "TERM", name)
    assert exit_code(name) == 75


def _command_line(name: str) -> bytes:
    pid = docker("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_sagemakers_train_is_a_worker(place: Place) -> None:
    ml = place.folder / "ml"
    config = ml / "input" / "config"
    config.mkdir(parents=True)
    (ml / "output").mkdir()
    (config / "hyperparameters.json").write_text(json.dumps({"study": "/s/study"}))
    here = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(json.dumps(here))
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{OWNER}:{OWNER}", ml], check=True)
    more = ("--volume", f"{ml}:/opt/ml", "--env", "TRAINING_JOB_NAME=hpo-first-1")
    job = place.start("train", more=more)
    wait_until(lambda: list((place.folder / "study").rglob("manifest.json")), 60, "a checkpoint")
    docker("stop", "--time", "120", job)
    assert exit_code(job) == 75, docker("logs", job).stderr
    assert place.kinds() == [LinkKind.CLAIM, LinkKind.RELEASE] and not (ml / "output" / "failure").exists()
    again = place.start("train", more=more, epoch_s=0.01)
    assert exit_code(again) == 0, docker("logs", again).stderr
    assert place.kinds()[-1] == LinkKind.DONE
    (config / "hyperparameters.json").write_text(json.dumps({"study": "/s/nowhere"}))
    wrong = place.start("train", more=more)
    assert exit_code(wrong) != 0 and "nowhere" in (ml / "output" / "failure").read_text()


def test_the_coordinators_image_ticks_when_it_is_invoked(lambda_image: str, place: Place) -> None:
    with RuntimeApi() as api:
        runtime = f"AWS_LAMBDA_RUNTIME_API={api.endpoint.removeprefix('http://')}"
        told = [
            f"--env={each}" for each in (runtime, "HPO_PIPE_STUDY=/s/study", "AWS_LAMBDA_FUNCTION_NAME=tick")
        ]
        user = f"{place.owner}:{place.owner}"
        disk = ("--read-only", "--tmpfs", "/tmp", "--volume", f"{place.folder}:/s")  # as Lambda has it
        name = docker(
            "run", "--detach", "--network", "host", "--user", user, *disk, *told, lambda_image
        ).stdout.strip()
        place.started.append(name)
        api.events.put({})
        kind, answer = api.answers.get(timeout=60)
        assert (kind, answer["ticked"], answer["ended"]) == ("response", True, False), answer
    assert list(open_store(str(place.folder / "study")).list(LOG))
