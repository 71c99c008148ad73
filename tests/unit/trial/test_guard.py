import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from workers.guard import Guard
from workers.process_group import ProcessGroup


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("announced", [True, False])
def test_what_is_marked_dies_even_unannounced_and_nobody_else(announced: bool) -> None:
    guard = Guard()
    guard.be_ready()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleep, env=guard.marked({"HPO_PIPE_GUARD": "outer"}), start_new_session=True)
    other = subprocess.Popen(sleep, env={"HPO_PIPE_GUARD": guard.mark + "0"}, start_new_session=True)
    if announced:
        guard.add(ours.pid)
    wait_until(lambda: b"\0sleep" not in Path(f"/proc/{ours.pid}/cmdline").read_bytes(), 5, "exec")
    guard.close()
    assert ours.wait(5) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_killed_guardian_is_replaced_and_told_everything() -> None:
    guard = Guard()
    guard.be_ready()
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)  # not marked: only announced
    guard.add(child.pid)
    first = guard._process
    assert first is not None
    first.kill()
    first.wait()
    guard.be_ready()
    assert guard._process is not first
    guard.close()
    assert child.wait(5) == -signal.SIGKILL


def test_a_group_that_is_gone_is_forgotten() -> None:
    guard = Guard()
    guard.be_ready()
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    guard.add(child.pid)
    guard.discard(child.pid)
    guard.close()
    assert child.poll() is None
    child.kill()
    child.wait()


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def run_one() -> None:
        read, write = os.pipe()
        group = ProcessGroup.start(["/bin/true"], environment={}, workdir=tmp_path, output_fd=write)
        while group.returncode() is None:
            group.wait(5)
        os.close(read)
        os.close(write)

    run_one()
    before = descriptors()
    for _ in range(5):
        run_one()
    assert descriptors() == before


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_group_ends_with_or_without_pidfd(
    tmp_path: Path, pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    null = os.open(os.devnull, os.O_WRONLY)
    group = ProcessGroup.start(
        ["/bin/sh", "-c", "sleep 60"], environment={}, workdir=tmp_path, output_fd=null
    )
    os.close(null)
    group.wait(0.01)
    assert group.returncode() is None
    assert group.end() == -signal.SIGKILL
    assert group.end() == -signal.SIGKILL
    group.signal(signal.SIGTERM)
    assert group.ended_by_us
