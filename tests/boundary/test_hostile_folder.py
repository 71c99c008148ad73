"""A user's folder, and a PYTHONPATH, that hold files with our names and the standard library's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.told_study import Teller, told_study

NAMES = (
    "workers", "storage_schema", "hpo_pipe", "random", "json", "click", "numpy", "pyarrow", "rich", "typing",
    "secrets", "dataclasses", "runpy", "inspect", "fsspec",
)  # fmt: skip
HOSTILE = "raise SystemExit('a stranger was imported: ' + __name__)\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE)
    return folder


@pytest.fixture
def told(tmp_path: Path) -> Teller:
    return told_study(tmp_path / "told")


def command() -> str:
    found = shutil.which("hpo-pipe", path=str(Path(sys.executable).parent))
    assert found, "hpo-pipe is not installed beside this Python"
    return found


def call(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command(), *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


COMMANDS = (["--version"], ["worker", "--help"], ["coordinator", "--help"], ["status", "--help"])


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_in_a_folder_of_strangers_every_entrance_works(hostile: Path, arguments: list[str]) -> None:
    found = call(hostile, *arguments)
    assert found.returncode == 0, found.stderr
    assert "stranger" not in found.stdout + found.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_under_a_hostile_pythonpath_every_entrance_works(hostile: Path, arguments: list[str]) -> None:
    """All names but our own package's: whoever shadows that one has replaced the program that was called."""
    (hostile / "hpo_pipe.py").unlink()
    found = call(
        hostile, *arguments, env={"PYTHONPATH": str(hostile), "PYTHONSTARTUP": str(hostile / "random.py")}
    )
    assert found.returncode == 0, found.stderr
    assert "stranger" not in found.stdout + found.stderr


def test_reading_a_study_imports_no_stranger_either(hostile: Path, told: Teller) -> None:
    (hostile / "hpo_pipe.py").unlink()
    for arguments in (["status", told.url], ["trials", told.url], ["why", told.url, "1"], ["best", told.url]):
        found = call(hostile, *arguments, env={"PYTHONPATH": str(hostile)})
        assert found.returncode == 0, found.stderr


def test_what_a_trial_inherits_is_the_users_environment(hostile: Path) -> None:
    """Isolation must not take PYTHONPATH away from the trials that a worker starts."""
    code = "import os; from hpo_pipe.isolation import isolated; print(isolated(), os.environ['PYTHONPATH'])"
    found = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={**os.environ, "PYTHONPATH": str(hostile)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["True", str(hostile)]


def test_a_target_folder_install_runs_isolated_too(tmp_path: Path, hostile: Path) -> None:
    """`pip install --target` (and a checkout): the package is on no path that an isolated Python knows."""
    root = Path(__file__).parents[2]
    target = tmp_path / "target"
    target.mkdir()
    for package in ("hpo_pipe", "storage_schema", "workers"):
        shutil.copytree(root / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import json, sys, site\n"
        "site.getsitepackages = lambda: []; site.getusersitepackages = lambda: '/nowhere'\n"
        f"sys.path.insert(0, {str(target)!r})\n"
        "from hpo_pipe.isolation import isolated_command\n"
        "print(json.dumps(isolated_command('hpo_pipe', '--version')))"
    )
    made = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert str(target) in made.stdout
    found = subprocess.run(json.loads(made.stdout), capture_output=True, text=True, check=False, cwd=hostile)
    assert (found.returncode, found.stdout.startswith("hpo-pipe ")) == (0, True), found.stderr
