"""`submit local` starts workers for the study that stands there now, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_pipe.launch import local
from storage_schema.codec import sha256
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import Teller


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []

    def start(command: list[str], logs: Path) -> local.Started:
        commands.append(command)
        return local.Started(pid=1, log=logs / "worker-1.log")

    monkeypatch.setattr(local, "_start", start)
    return commands


def test_workers_are_told_which_study(
    told: Teller, run: Run, started: list[list[str]], tmp_path: Path
) -> None:
    url = told.store.url
    done = run("submit", "local", url, "--workers", "2", "--logs", tmp_path / "logs", "--", "--slots", "2")
    assert done.exit_code == 0, done.output
    found = told.store.get("study.json")
    expected = ["--study-sha256", sha256(found.data), "--slots", "2"]
    assert [command[-4:] for command in started] == [expected, expected]


def test_a_sha256_of_ones_own_is_kept(
    told: Teller, run: Run, started: list[list[str]], tmp_path: Path
) -> None:
    own = "--study-sha256=" + "0" * 64
    assert run("submit", "local", told.store.url, "--logs", tmp_path / "logs", "--", own).exit_code == 0
    assert started[0][-1] == own and sum("--study-sha256" in part for part in started[0]) == 1


def test_no_study_no_workers(run: Run, started: list[list[str]], tmp_path: Path) -> None:
    assert run("submit", "local", tmp_path / "nowhere", "--logs", tmp_path / "logs").exit_code == 2
    assert started == []
