"""What a trial starts ends with it, and with its worker."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.attempts import Make, python, write
from tests.waiting import wait_until

LEAVES_CHILDREN = """
import os, subprocess, sys, time
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "{mark}"], start_new_session=session)
print("started", flush=True)
if {stay}: time.sleep(60)
"""


def living(mark: str) -> list[int]:
    """Return the processes that name `mark` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0") and state != "Z":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_children_die_with_their_trial(make: Make, tmp_path: Path) -> None:
    mark = f"child-of-{tmp_path}"
    script = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 60; :', {mark!r}])"
    outcome = make(command=python(script)).run()
    assert outcome.ended.status == 0
    wait_until(lambda: not living(mark), 2, "the end of the children")


WORKER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.attempts import Attempts, launcher
attempts = Attempts(launcher(Path({work!r}), {{}}, {mode}={program!r}), Path({work!r}) / "attempts")
process, *_ = attempts.start()
while b"started" not in process.output(): process.wait(0.05)
print("ready", flush=True)
process.wait(60)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("mode", ["command", "function"])
def test_a_killed_worker_takes_the_whole_tree_with_it(tmp_path: Path, mode: str) -> None:
    """Also a grandchild that left the process group and the session."""
    mark = f"{mode}-{tmp_path}"
    body = LEAVES_CHILDREN.format(mark=mark, stay=True)
    write(tmp_path, train="def main():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    program: Any = "train:main" if mode == "function" else ("python", "-c", body)
    text = WORKER.format(root=str(Path.cwd()), work=str(tmp_path / "work"), mode=mode, program=program)
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=tmp_path) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        assert len(living(mark)) == 2
        worker.send_signal(signal.SIGKILL)
        killed = time.monotonic()
    wait_until(lambda: not living(mark), 2, "the end of the grandchildren")
    assert time.monotonic() - killed < 2
