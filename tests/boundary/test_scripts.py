"""The shell scripts: sound by shellcheck, plain where something is missing, and the README's first command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage_schema.trial_env import VARIABLE, TrialFile

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted((ROOT / "infra").glob("*.sh")), ROOT / ".ci" / "run"]
SHELLCHECK = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
PROTOCOL = ROOT / "storage_schema" / "PROTOCOL.md"


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, output caught."""
    full = {**os.environ, **environment}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=full, capture_output=True, text=True, check=False
    )


def protocol_example(folder: Path) -> Path:
    """Write the shell trial of PROTOCOL.md, section 8.4, to a file."""
    (text,) = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", PROTOCOL.read_text("utf-8"), re.DOTALL)
    script = folder / "trial.sh"
    script.write_text(text, "utf-8")
    return script


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    if SHELLCHECK is None:
        pytest.skip("shellcheck is not installed")
    found = run(SHELLCHECK, "-x", script, cwd=ROOT)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", SCRIPTS[:-1], ids=lambda path: path.name)
def test_plain_sh_reads_it(script: Path) -> None:
    found = run("sh", "-n", script, cwd=ROOT)
    assert found.returncode == 0, found.stderr


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what git tracks or would track, and nothing else."""
    tracked = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return folder


def old_python(folder: Path) -> Path:
    """Make a folder of commands in which every Python says that it is too old."""
    folder.mkdir()
    for name in ("python", "python3", *(f"python3.{minor}" for minor in range(11, 15))):
        fake = folder / name
        fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
        fake.chmod(0o755)
    return folder


@pytest.mark.parametrize("name", ["quickstart.sh", "test.sh"])
def test_a_missing_python_is_said_plainly(name: str, tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    path = f"{old_python(tmp_path / 'bin')}:{os.environ['PATH']}"
    found = run("sh", tree / "infra" / name, cwd=tmp_path, PATH=path)
    assert found.returncode == 1
    assert "needs Python 3.11 or newer; found Python 3.9.2" in found.stderr
    assert not (tree / ".venv").exists()


def test_a_python_of_ones_own_choice_that_is_none_is_refused(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    found = run("sh", tree / "infra" / "test.sh", cwd=tmp_path, PYTHON="/nowhere/python")
    assert found.returncode == 1
    assert "PYTHON=/nowhere/python is not a Python of 3.11 or newer" in found.stderr


def test_a_failed_installation_names_the_network_and_is_tried_again(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    for _ in range(2):  # the failure leaves no stamp behind that would skip the installation next time
        found = run(
            "sh",
            tree / "infra" / "quickstart.sh",
            cwd=tmp_path,
            PYTHON=sys.executable,
            PIP_INDEX_URL="http://127.0.0.1:9/simple",
            PIP_EXTRA_INDEX_URL="",
            PIP_FIND_LINKS="",
            PIP_RETRIES="0",
            PIP_CONFIG_FILE=os.devnull,
        )
        assert found.returncode == 1
        assert "It needs a network and a package index" in found.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_quickstart_from_a_fresh_copy_and_once_more(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    script = tree / "infra" / "quickstart.sh"
    first = run("sh", script, cwd=tmp_path, PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr[-3000:]
    assert "Making .venv" in first.stderr
    again = run("sh", script, cwd=tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "Making .venv" not in again.stderr
    assert "Installing" not in again.stderr
    for found in (first, again):
        text = found.stdout + found.stderr
        assert re.search(r"val_loss\D+0\.\d+", text), text[-3000:]
        assert "hpo-pipe-studies/digits" in text
        assert "To start anew" in text


def trial_file(folder: Path, **fields: object) -> dict[str, str]:
    """Write the file of a trial from 0 to 3 epochs and return the environment that names it."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    plain: dict[str, object] = {
        "study": "s",
        "trial": 0,
        "spec": "00000000-000",
        "attempt": 1,
        "parameters": {"lr": 0.25, "kind": "a b"},
        "resource_name": "epoch",
        "start": 0,
        "to": 3,
        "objective": "loss",
        "goal": "minimize",
        "seed": 1,
        "metrics_file": str(folder / "metrics"),
        "checkpoint_dir": str(folder / "checkpoints"),
        "restored": None,
        "stop_file": str(folder / "stop"),
    }
    (folder / "trial.json").write_bytes(TrialFile(**(plain | fields)).to_bytes())  # type: ignore[arg-type]
    return {VARIABLE: str(folder / "trial.json")}


def test_the_protocols_shell_trial_trains_resumes_and_stops(tmp_path: Path) -> None:
    script = protocol_example(tmp_path)
    if SHELLCHECK:
        checked = run(SHELLCHECK, script, cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout
    metrics = tmp_path / "metrics"
    whole = run("sh", script, cwd=tmp_path, **trial_file(tmp_path))
    assert whole.returncode == 0, whole.stderr
    lines = metrics.read_text()
    assert lines.splitlines()[0] == '{"resource": 1, "loss": 0.25}'
    assert lines.count("\n") == 3

    metrics.unlink()
    (tmp_path / "checkpoints").rename(tmp_path / "kept")
    restored = str(tmp_path / "kept" / "1")
    rest = run("sh", script, cwd=tmp_path, **trial_file(tmp_path, start=1, restored=restored))
    assert rest.returncode == 0, rest.stderr
    assert metrics.read_text().splitlines() == lines.splitlines()[1:]

    for reason, status in (("stop", 0), ("interrupt", 75)):
        (tmp_path / "stop").write_text(reason + "\n")
        shutil.rmtree(tmp_path / "checkpoints")
        assert run("sh", script, cwd=tmp_path, **trial_file(tmp_path)).returncode == status
        assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["1"]
