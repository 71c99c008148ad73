"""What is promised of the images, as far as their Dockerfiles show it; tests/infra/test_containers.py builds them."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "docker").glob("Dockerfile*"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions(image: Path) -> list[tuple[str, str]]:
    """Return each instruction and its arguments, joined over lines, comments left out."""
    lines = [line for line in image.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined.splitlines()]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_every_image(image: Path) -> None:
    made = instructions(image)
    last = dict(made)
    assert [name for name, _ in made[:2]] == ["ARG", "FROM"] and made[1][1] == "${BASE}"
    assert isinstance(json.loads(last["ENTRYPOINT"]), list)  # the exec form: signals reach it
    user = last["USER"].replace("${UID}", dict(_defaults(made))["UID"] if "UID" in last["USER"] else "")
    assert user.isdigit() and int(user) > 0
    assert dict(_defaults(made))["VERSION"] == PROJECT["version"]
    assert PROJECT["license"] in last["LABEL"]
    text = image.read_text("utf-8")
    assert (
        "--mount" not in text and "syntax=" not in text and "<<" not in text
    )  # a plain docker build will do
    assert "/opt/ml" not in " ".join(said for _, said in made)
    assert not re.search(r"(?i)(token|secret|password)\s*=", text)


def _defaults(made: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(said.partition("=")[0], said.partition("=")[2]) for name, said in made if name == "ARG"]


def test_workers_are_stopped_by_sigterm() -> None:
    last = dict(instructions(ROOT / "infra" / "docker" / "Dockerfile"))
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == [
        "hpo-pipe"
    ]  # so that `docker run IMAGE train` is what SageMaker means


def test_the_coordinators_handler_is_there() -> None:
    last = dict(instructions(ROOT / "infra" / "docker" / "Dockerfile.lambda"))
    module, _, name = json.loads(last["CMD"])[0].rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
    assert "'.[lambda]'" in last["RUN"] and "lambda" in PROJECT["optional-dependencies"]


def test_only_what_is_installed_gets_into_an_image() -> None:
    first, *allowed = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in "#"
    ]
    assert first == "*"
    taken = {line.removeprefix("!") for line in allowed if line.startswith("!")}
    assert taken == {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "hpo_pipe",
        "storage_schema",
        "workers",
        "wheelhouse",
    }
    assert all((ROOT / name).exists() for name in taken - {"wheelhouse"})
