"""Runs terraform on copies of ``infra/``: without a registry, without an account, without what a user has set up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PROVIDER = "registry.terraform.io/hashicorp/aws"
FOLDERS = "HPO_PIPE_TEST_TERRAFORM_PLUGINS"
"""A folder as `terraform providers mirror` makes it."""
_USUAL = (
    "~/.terraform.d/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/*",
)


def needs_terraform() -> Path:
    """Return a folder with the provider; skip the test where that or terraform is not there."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    given = [Path(os.environ[FOLDERS])] if os.environ.get(FOLDERS) else []
    usual = [path for place in _USUAL for path in _spread(Path(place).expanduser())]
    for folder in [*given, *usual]:
        if (folder / PROVIDER).is_dir():
            return folder
    pytest.skip(
        "terraform's provider hashicorp/aws is in none of the usual folders:"
        f" run 'terraform providers mirror DIR' in infra/terraform/modules/iam, and set {FOLDERS}=DIR"
    )


class Terraform:
    """A module in a copy of ``infra/``, initialised."""

    def __init__(
        self,
        place: Path,
        module: str,
        environment: Mapping[str, str] | None = None,
        *,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Copy ``infra/`` below `place`, add `files` to `module`, and install its provider."""
        plugins = needs_terraform()
        for part in ("iam", "terraform"):
            shutil.copytree(
                INFRA / part, place / part, ignore=shutil.ignore_patterns(".terraform*"), dirs_exist_ok=True
            )
        self.folder = place / "terraform" / module
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text, "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
        self._environment = {
            **kept,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            **(environment or {}),
        }
        self.run("init", "-input=false", f"-plugin-dir={plugins}")

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command that must end with one of `codes`; return what it printed."""
        done = subprocess.run(
            ["terraform", arguments[0], "-no-color", *arguments[1:]],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode in codes, done.stdout
        return done.stdout


def _spread(place: Path) -> list[Path]:
    return sorted(place.parent.glob("*")) if place.name == "*" else [place]
