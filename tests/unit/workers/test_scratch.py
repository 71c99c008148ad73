from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from workers.scratch import scratch_folder

_HOLDER = """
import sys, time
from workers.scratch import scratch_folder
with scratch_folder({"HPO_PIPE_SCRATCH": sys.argv[1]}) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_killed_workers_scratch_is_removed_by_the_next_one_and_a_living_ones_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    holders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    folders = []
    for holder in holders:
        assert holder.stdout is not None
        folders.append(Path(holder.stdout.readline().decode().strip()))
    os.kill(holders[0].pid, signal.SIGKILL)
    holders[0].wait()
    assert folders[0].is_dir()
    with scratch_folder({"HPO_PIPE_SCRATCH": str(tmp_path)}) as own:
        assert own.is_dir()
        assert not folders[0].exists()
        assert folders[1].is_dir()
    assert not own.exists()
    for holder in holders:
        holder.communicate(timeout=20)
    assert list(tmp_path.iterdir()) == []
