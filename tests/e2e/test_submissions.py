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
    for path in (tmp_path / "logs").glob("*.pid"):
        with suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


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
    wait_until(lambda: all(job["state"] == "done" for job in jobs(fleet)), 30, "the workers end")


def test_autoscaled_to_the_end(fleet: Fleet) -> None:
    fleet.create(trials=6, scheduler="none")
    template(fleet)
    coordinator = fleet.start("coordinator", "--until-done", "--autoscale", "--max-workers", "2")
    wait_until(lambda: fleet.processes[coordinator].poll() is not None, 90, "the coordinator ends")
    assert fleet.processes[coordinator].returncode == 0
    wait_until(lambda: all(job["state"] == "done" for job in jobs(fleet)), 30, "the workers end")
    assert 1 <= len(jobs(fleet)) <= 2
    assert audit(open_store(fleet.url)) == []
