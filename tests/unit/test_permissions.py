"""Whose files these are: modes under any umask, folders that others may write to, what trials can see of a worker."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.store import open_store
from storage_schema.store.check import Verdict
from storage_schema.store.local_checks import check_owner
from tests.attempts import Attempts, launcher
from tests.waiting import wait_until
from workers import withholding
from workers.guard import Guard
from workers.scratch import scratch_folder
from workers.withholding import without

NOBODY = 65534
PYTHON = shutil.which("python3", path="/usr/bin:/bin")
"""That another user can run too."""


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_study_is_its_owners_alone(umask: int, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "study"))
    store.create("log/00000000.json", b"{}")
    store.replace("workers/w-a-1.json", b"{}")
    store.replace("workers/w-a-1.json", b"{ }")
    store.create("checkpoints/00000000/x/files/deep/down", b"")
    places = [tmp_path / "study", *(tmp_path / "study").rglob("*")]
    assert {mode(place) for place in places if place.is_dir()} == {0o700}
    assert {mode(place) for place in places if place.is_file()} == {0o600}
    assert {place.stat().st_uid for place in places} == {os.geteuid()}


def test_a_half_written_file_is_its_owners_alone(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    write = os.write

    def looking(descriptor: int, data: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", looking)
    open_store(str(tmp_path / "study")).create("log/00000000.json", b"{}")
    assert seen and set(seen) == {0o600}


def test_scratch_is_its_workers_alone(umask: int, tmp_path: Path) -> None:
    with scratch_folder({"HPO_PIPE_SCRATCH": str(tmp_path)}) as folder:
        assert mode(folder) == 0o700


def test_folders_that_others_may_write_to(tmp_path: Path) -> None:
    folder, me = tmp_path / "study", os.geteuid()

    def found() -> tuple[Verdict, str]:
        check = check_owner(str(folder), me)
        return check.verdict, check.detail

    assert found()[0] is Verdict.OK  # not there yet
    folder.mkdir(mode=0o700)
    assert found()[0] is Verdict.OK
    folder.chmod(0o777)
    assert found()[0] is Verdict.WARNING and "everybody" in found()[1]
    folder.chmod(0o1777)  # in one's own study a sticky bit does not help: others add log entries
    assert found()[0] is Verdict.WARNING
    folder.chmod(0o770)
    assert found()[0] is Verdict.WARNING and "its group" in found()[1]
    folder.chmod(0o755)
    assert found()[0] is Verdict.OK
    assert check_owner(str(folder), me + 1).verdict is Verdict.WARNING
    folder.rmdir()
    tmp_path.chmod(0o777)  # whoever can write there can make the study's folder first
    assert found()[0] is Verdict.WARNING
    tmp_path.chmod(0o1777)
    assert found()[0] is Verdict.OK
    tmp_path.chmod(0o700)


def test_doctor_tells_of_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    store = open_store(str(tmp_path))
    (owner,) = [check for check in store.own_checks() if check.name == "owner"]  # type: ignore[attr-defined]
    assert owner.verdict is Verdict.WARNING
    tmp_path.chmod(0o700)


def test_variables_that_are_withheld() -> None:
    env = {"AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "b", "PATH": "c", "aws_x": "d"}
    assert without(env, ["AWS_*"]) == {"PATH": "c", "aws_x": "d"}
    assert without(env, ["AWS_SECRET_*", "PATH"]) == {"AWS_REGION": "b", "aws_x": "d"}
    assert without(env, []) == env


CHILD = """
import os, sys
pid = os.getppid()
for name in ("environ", "mem"):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            print(name, "open", flush=True)
    except OSError as error:
        print(name, type(error).__name__, flush=True)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or PYTHON is None,
    reason="becomes another user, who runs the system's own Python: needs Linux, root and /usr/bin/python3",
)
@pytest.mark.parametrize("closed", [True, False])
def test_a_trial_cannot_read_its_workers_environment_once_it_is_closed(closed: bool) -> None:
    assert PYTHON is not None
    parent = [
        Path(withholding.__file__).read_text(),
        "import subprocess",
        "close_own_memory()" if closed else "",
        f"print(subprocess.run([sys.executable, '-c', {CHILD!r}], capture_output=True, text=True).stdout)",
    ]
    done = subprocess.run(
        [PYTHON, "-I", "-c", "\n".join(parent)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "WANDB_API_KEY": "x"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("environ PermissionError" in done.stdout) is closed, done.stdout
    assert ("environ open" in done.stdout) is not closed


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_guardian_carries_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    guard = Guard()
    guard.be_ready()
    process = guard._process
    assert process is not None
    try:
        shown = Path(f"/proc/{process.pid}/environ")

        # Between fork and exec it is still a copy of us, and then for a moment empty.
        def plain() -> bool:
            found = shown.read_bytes()
            return b"PATH=" in found and b"0123456789abcdef" not in found

        wait_until(plain, 10, "a plain environment")
    finally:
        guard.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_trial_has_no_file_of_its_workers_open(tmp_path: Path) -> None:
    secret = tmp_path / "of the worker"
    with secret.open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        attempts = Attempts(launcher(tmp_path, {}, command=("sh", "-c", "ls -l /proc/$$/fd")), tmp_path)
        done = attempts.run()
        attempts.close()
    opened = [line.partition(" -> ")[2] for line in done.output.splitlines() if " -> " in line]
    assert opened and all(name == "/dev/null" or name.startswith("pipe:") for name in opened), opened
