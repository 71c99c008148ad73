"""A worker's own coordinator tick that fails: said once, tried less often, and never given up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.waiting import wait_until
from workers import coordinator_process
from workers.coordinator_process import MOST_SKIPPED, CoordinatorStarter


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit status that the next ticks end with."""
    wanted = [0]
    monkeypatch.setattr(
        coordinator_process,
        "coordinator_command",
        lambda _: [sys.executable, "-I", "-S", "-c", f"raise SystemExit({wanted[0]})"],
    )
    return wanted


def call(starter: CoordinatorStarter) -> bool:
    """Call it, wait for the process if it started one, and tell whether it did."""
    before = starter._process
    starter()
    process: subprocess.Popen[bytes] | None = starter._process
    if process is None or process is before:
        return False
    wait_until(lambda: process.poll() is not None, 20, "the tick's end")
    return True


def test_ticks_that_fail_are_said_once_and_come_less_often(status: list[int]) -> None:
    said: list[str] = []
    starter = CoordinatorStarter("s3://bucket/first", said.append)
    status[0] = 69
    started = [call(starter) for _ in range(14)]
    assert started[0] and started.count(True) == 4, started
    gaps = [
        b - a
        for a, b in zip(
            [i for i, s in enumerate(started) if s], [i for i, s in enumerate(started) if s][1:], strict=False
        )
    ]
    assert gaps[0] < gaps[-1] == MOST_SKIPPED + 1
    assert len(said) == 1 and "--no-coordinator" in said[0]
    status[0] = 0
    while not call(starter):
        pass
    assert call(starter) and call(starter)  # at its ordinary pace again
    starter.close()


def test_ticks_that_go_well_are_not_spoken_of(status: list[int]) -> None:
    said: list[str] = []
    starter = CoordinatorStarter("s3://bucket/first", said.append)
    assert all(call(starter) for _ in range(3))
    status[0] = 75
    assert all(call(starter) for _ in range(3))
    assert said == []
    starter.close()
