"""Images built from this checkout by a docker daemon that is at hand, and what runs in them.

``TEST_BASE_IMAGE`` names the base, python:3.11-slim by default; it is pulled if it is not there. The wheels are fetched
here where this Python is of the base's version, and the build needs no network then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("TEST_BASE_IMAGE", "python:3.11-slim")
PARTS = (
    ".dockerignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "hpo_pipe",
    "storage_schema",
    "workers",
    "infra",
)
NO_NETWORK = ("--network", "none")
_BUILDER: dict[str, str] = {}
"""Empty: the client's own choice."""


def docker(
    *arguments: str | Path, check: bool = True, timeout_s: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the docker client."""
    done = subprocess.run(
        ["docker", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**os.environ, **_BUILDER},
    )
    assert done.returncode == 0 or not check, (
        f"docker {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return done


def daemon() -> None:
    """Skip where no docker daemon answers, or the base image cannot be had."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    if docker("version", check=False).returncode:
        pytest.skip("no docker daemon answers")
    if docker("buildx", "version", check=False).returncode:
        _BUILDER["DOCKER_BUILDKIT"] = "0"  # newer clients ask for BuildKit although they came without it
    if (
        docker("image", "inspect", BASE, check=False).returncode
        and docker("pull", BASE, check=False).returncode
    ):
        pytest.skip(f"docker has no image {BASE}, and cannot pull it (TEST_BASE_IMAGE names another)")


def build(dockerfile: str, tag: str, folder: Path, *, extra: str = "") -> Iterator[str]:
    """Build an image from a copy of this checkout, and remove it behind the tests."""
    daemon()
    context = folder / "context"
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, context / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            context.mkdir(exist_ok=True)
            shutil.copy(source, context / part)
    (context / "secret.env").write_text("TOKEN=never-to-be-seen")
    network = NO_NETWORK if _wheelhouse(context, extra) else ()
    named = ("--build-arg", f"BASE={BASE}", "--tag", tag)
    docker("build", *network, "--file", context / "infra" / "docker" / dockerfile, *named, context)
    try:
        yield tag
    finally:
        docker("image", "rm", "--force", tag, check=False)


def _wheelhouse(context: Path, extra: str) -> bool:
    version = "{}.{}".format(*sys.version_info[:2])
    asked = ("-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    found = docker("run", "--rm", *NO_NETWORK, "--entrypoint", "python3", BASE, *asked).stdout.strip()
    if found != version or sys.platform != "linux":
        return False
    wanted = f"{context}{extra}"
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", str(context / "wheelhouse")]
    done = subprocess.run(
        [*command, wanted, "setuptools>=77"], capture_output=True, text=True, check=False, cwd=context
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for built in ("build", "hpo_pipe.egg-info"):
        shutil.rmtree(context / built, ignore_errors=True)
    return True
