"""Submissions of real workers: reconcilers at once, a launcher that is killed, autoscaling to the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpo_pipe.cli import submitting
from hpo_pipe.cli.group import cli
from storage_schema.status_file import read
from storage_schema.store import open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import Fleet, hpo_pipe
from tests.waiting import wait_until


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("TEST_EPOCH_S", "0.05")
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, epoch_s=0.05)
    yield fleet
    fleet.close()
    for path in (tmp_path / "logs").glob("*.status"):
        with suppress(ProcessLookupError):
            os.killpg(read(path).pid or 0, signal.SIGKILL)


def jobs(fleet: Fleet) -> list[dict[str, object]]:
    found = json.loads(hpo_pipe("submit", "status", fleet.url, "--all", "--json"))
    return [job for one in found for job in one["jobs"] or ()]


def template(fleet: Fleet, *options: str) -> None:
    logs = str(fleet.folder / "logs")
    hpo_pipe("submit", "local", fleet.url, "--workers", "0", "--logs", logs, "--idle-timeout", "60", *options)


def test_reconcilers_at_once_submit_once(fleet: Fleet) -> None:
    fleet.create(trials=400, scheduler="none")
    template(fleet)
    fleet.start("coordinator")
    wait_until(lambda: "WAITING" in hpo_pipe("status", fleet.url), 20, "trials wait")
    command = ["submit", "reconcile", fleet.url, "--min-workers", "3", "--max-workers", "3", "--json"]
    at_once = [
        subprocess.Popen([sys.executable, "-m", "hpo_pipe", *command], stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    rounds = [json.loads(one.communicate(timeout=60)[0]) for one in at_once]
    assert sorted(found["started"] for found in rounds) == [0, 0, 0, 0, 3]
    assert all(found["started"] + found["alive"] == 3 for found in rounds)
    assert len(jobs(fleet)) == 3
    hpo_pipe("submit", "cancel", fleet.url, "--all")
    wait_until(lambda: all(job["state"] == "cancelled" for job in jobs(fleet)), 30, "the workers end")


def test_autoscaled_to_the_end(fleet: Fleet) -> None:
    fleet.create(trials=6, scheduler="none")
    template(fleet)
    coordinator = fleet.start("coordinator", "--until-done", "--autoscale", "--max-workers", "2")
    wait_until(lambda: fleet.processes[coordinator].poll() is not None, 90, "the coordinator ends")
    assert fleet.processes[coordinator].returncode == 0
    wait_until(lambda: all(job["state"] == "done" for job in jobs(fleet)), 30, "the workers end")
    assert 1 <= len(jobs(fleet)) <= 2
    assert audit(open_store(fleet.url)) == []


def test_how_each_worker_ended(fleet: Fleet, tmp_path: Path) -> None:
    fleet.create(trials=400, scheduler="none")
    command = ("submit", "local", fleet.url, "--logs", str(tmp_path / "logs"))
    secret = tmp_path / "secret"
    secret.write_text("abcdefgh")
    hpo_pipe(*command, "--secret", f"TOKEN=file:{secret}", "--workers", "0")
    secret.unlink()
    said = json.loads(hpo_pipe("submit", "reconcile", fleet.url, "--max-workers", "1", "--json"))
    assert said["started"] == 1
    wait_until(lambda: jobs(fleet)[-1]["state"] == "failed", 30, "a worker without its secret fails")
    assert "exit code 78" in jobs(fleet)[-1]["detail"] and "No such file" in jobs(fleet)[-1]["detail"]
    said = json.loads(hpo_pipe("submit", "reconcile", fleet.url, "--max-workers", "1", "--json"))
    assert said["started"] == 0 and said["wait_s"] > 0, "it would fail again"
    hpo_pipe(*command, "--workers", "2")
    running = sorted((tmp_path / "logs").glob("*-3-*.status"))
    wait_until(lambda: hpo_pipe("status", fleet.url).count("trial ") >= 2, 30, "both train")
    os.kill(read(running[0]).pid or 0, signal.SIGKILL)
    os.kill(read(running[1]).pid or 0, signal.SIGTERM)
    wait_until(lambda: "running" not in [job["state"] for job in jobs(fleet)], 30, "they end")
    assert [job["state"] for job in jobs(fleet)[-2:]] == ["failed", "cancelled"]
    assert "killed" in jobs(fleet)[-2]["detail"]


def test_waiting_for_workers_that_all_fail_is_a_failure(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "POLL_S", 0.2)
    fleet.create(trials=400, scheduler="none")
    command = (
        "submit",
        "local",
        fleet.url,
        "--logs",
        str(tmp_path / "logs"),
        "--wait",
        "--",
        "--",
        "/no/such/program",
    )
    done = CliRunner().invoke(cli, command, prog_name="hpo-pipe")
    assert done.exit_code == 1, done.stderr
    assert (
        "1 of 1 failed: exit code 78" in done.stderr and f"hpo-pipe submit logs {fleet.url} 1" in done.stderr
    )


def test_a_submission_whose_launcher_was_killed_is_looked_at(fleet: Fleet, tmp_path: Path) -> None:
    fleet.create(trials=400, scheduler="none")
    command = ["submit", "local", fleet.url, "--logs", str(tmp_path / "logs"), "--workers", "200"]
    launcher = subprocess.Popen([sys.executable, "-m", "hpo_pipe", *command], stdout=subprocess.DEVNULL)
    wait_until(lambda: len(list((tmp_path / "logs").glob("*.log"))) >= 2, 30, "some have been started")
    launcher.kill()
    launcher.wait()
    (shown,) = json.loads(hpo_pipe("submit", "status", fleet.url, "--json"))
    assert shown["state"] == "submitting" and shown["counts"]["running"] >= 1
    hpo_pipe("submit", "cancel", fleet.url, "--all")
    wait_until(lambda: all(job["state"] != "running" for job in jobs(fleet)), 60, "the workers end")
