"""The processes of `run`: real ones, that die, refuse and are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_pipe.launch.children import MAX_RESTARTS, Child, Children, Fate, fate
from tests.waiting import wait_until

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"


def child(folder: Path, name: str, code: str) -> Child:
    return Child(name=name, command=[sys.executable, "-c", code], folder=folder, log=folder / f"{name}.log")


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Children]:
    family = Children(coordinator=child(tmp_path, "coordinator", SLEEPER), workers=[])
    yield family
    family.kill()


def ended(family: Children, one: Child, now: float = 0.0) -> None:
    """Poll until `one` was seen to end."""
    deaths = one.deaths

    def seen() -> bool:
        family.poll(now, restart=True)
        return one.process is None or one.deaths > deaths

    wait_until(seen, 10, f"the end of {one.name}")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, Fate.ENDED),
        (75, Fate.ENDED),
        (78, Fate.REFUSED),
        (2, Fate.REFUSED),
        (1, Fate.DIED),
        (-9, Fate.DIED),
    ],
)
def test_what_an_exit_status_means(status: int, expected: Fate) -> None:
    assert fate(status) is expected


def test_a_child_that_dies_starts_again_later_each_time_and_not_for_ever(
    tmp_path: Path, family: Children
) -> None:
    one = child(tmp_path, "worker-1", "raise SystemExit('no such thing')")
    family.workers.append(one)
    family.start()
    now, pauses = 0.0, []
    for _ in range(MAX_RESTARTS):
        ended(family, one, now)
        assert one.restart_at is not None
        pauses.append(one.restart_at - now)
        now = one.restart_at
        family.poll(now, restart=True)
        assert one.alive
    ended(family, one, now)
    assert one.over
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert any("given up" in note for note in family.notes)
    assert "  | no such thing" in family.notes
    assert family.coordinator.alive


def test_a_refusal_is_final(tmp_path: Path, family: Children) -> None:
    one = child(tmp_path, "worker-1", "print('bad study'); raise SystemExit(78)")
    family.workers.append(one)
    family.start()
    ended(family, one)
    assert (family.refused, one.over, one.tail()) == (one, True, ["bad study"])


def test_a_killed_child_starts_again(tmp_path: Path, family: Children) -> None:
    one = child(tmp_path, "worker-1", SLEEPER)
    family.workers.append(one)
    family.start()
    one.signal(signal.SIGKILL)
    ended(family, one)
    assert one.restart_at is not None
    assert "killed by signal 9" in family.notes[0]
    family.poll(one.restart_at, restart=True)
    assert one.alive


def test_an_interrupted_worker_is_not_started_again_and_the_coordinator_stays(
    tmp_path: Path, family: Children
) -> None:
    one = child(tmp_path, "worker-1", SLEEPER)
    family.workers.append(one)
    family.start()
    family.interrupt()
    wait_until(lambda: family.poll(1e9, restart=False) or one.over, 10, "the worker's end")
    assert family.coordinator.alive
    assert family.notes == []


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from hpo_pipe.launch.children import Child
one = Child(name="c", command={[sys.executable, "-c", SLEEPER]!r}, folder=Path({str(tmp_path)!r}),
            log=Path({str(tmp_path / "c.log")!r}))
one.start()
print(one.process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: (tmp_path / "c.log").read_bytes(), 10, "the child")
        parent.kill()
    wait_until(lambda: not _alive(pid), 10, "the end of the child")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_the_log_keeps_what_earlier_starts_printed(tmp_path: Path, family: Children) -> None:
    one = child(tmp_path, "worker-1", f"print({os.getpid()}, flush=True); raise SystemExit(1)")
    family.workers.append(one)
    family.start()
    ended(family, one)
    family.poll(time.monotonic() + 1e6, restart=True)
    ended(family, one)
    assert one.log.read_text().split() == [str(os.getpid())] * 2
