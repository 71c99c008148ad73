"""The Terraform modules keep what they promise: their own tests, on a pretended AWS (``*.tftest.hcl``)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA, Terraform, needs_terraform

MODULES = sorted(path.name for path in (INFRA / "terraform" / "modules").iterdir())
EXAMPLES = sorted(path.name for path in (INFRA / "terraform" / "examples").iterdir())
OFTEN = ("storage",)
"""What is tested at each run; the others are, too, by the example that uses them."""
FILES = sorted((INFRA / "terraform").rglob("*.tf"))


def seldom(names: list[str], often: tuple[str, ...]) -> list[object]:
    return [name if name in often else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("module", seldom(MODULES, OFTEN))
def test_a_module_keeps_its_promises(module: str, tmp_path: Path) -> None:
    said = Terraform(tmp_path, f"modules/{module}").run("test")
    found = re.search(r"Success! ([0-9]+) passed, 0 failed", said)
    assert found and int(found[1]) >= 3, said


@pytest.mark.parametrize("example", seldom(EXAMPLES, ("batch-spot",)))
def test_an_example_is_valid(example: str, tmp_path: Path) -> None:
    assert "The configuration is valid" in Terraform(tmp_path, f"examples/{example}").run("validate")


@pytest.mark.slow
def test_a_broken_promise_is_noticed(tmp_path: Path) -> None:
    needs_terraform()
    main = (INFRA / "terraform/modules/storage/main.tf").read_text("utf-8")
    broken = main.replace("concat(local.tls, local.records,", "concat(local.tls,")
    assert broken != main
    said = Terraform(tmp_path, "modules/storage", files={"main.tf": broken}).run("test", codes=(1,))
    assert "An unconditional PutObject of a record has to be denied to everybody." in said


def test_files_are_formatted() -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "-diff", str(INFRA / "terraform")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_input_and_output_says_what_it_is() -> None:
    assert len(FILES) > 20
    for path in FILES:
        for kind, name, body in re.findall(
            r'^(variable|output) "(\w+)" {\n(.*?)^}', path.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            assert "  description" in body, f"{path.name}: {kind} {name}"
            assert kind == "output" or "  type " in body, f"{path.name}: {kind} {name}"


def test_every_input_is_used() -> None:
    for folder in {path.parent for path in FILES}:
        text = "".join(path.read_text("utf-8") for path in folder.glob("*.tf"))
        for name in re.findall(r'^variable "(\w+)"', text, re.MULTILINE):
            body = re.sub(rf'^variable "{name}" {{\n.*?^}}', "", text, flags=re.DOTALL | re.MULTILINE)
            assert re.search(rf"\bvar\.{name}\b", body), f"{folder.name}: {name}"


def test_modules_are_for_the_same_providers() -> None:
    versions = {path.read_text("utf-8") for path in (INFRA / "terraform").rglob("versions.tf")}
    assert len(versions) == 1 and len(list((INFRA / "terraform").rglob("versions.tf"))) == len(MODULES) + len(
        EXAMPLES
    )
