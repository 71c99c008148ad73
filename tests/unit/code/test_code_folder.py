"""The folder that workers on one machine share: whole or not there, and gone with the last of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo_pipe.launch.code import Archive, pack, upload
from storage_schema.code_archive import Kind, Member
from storage_schema.errors import DamagedRecord
from storage_schema.keys import code_key
from storage_schema.store import open_store
from tests.unit.code.test_pack import written
from tests.waiting import wait_until
from workers import code
from workers.code import CodeMissing, code_folder
from workers.world import World

HOLDER = """
import sys
from pathlib import Path
from storage_schema.store import open_store
from workers.code import code_folder
from workers.world import World
url, sha256, scratch, own = sys.argv[1:]
world = World(store=open_store(url))
with code_folder(world, sha256, {"HPO_PIPE_SCRATCH": scratch}, Path(own)) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


class Place:
    def __init__(self, folder: Path) -> None:
        self.url = f"file://{folder}/study"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.shared = self.scratch / f"hpo-pipe-code-{os.getuid()}"
        self.said: list[str] = []
        self.own = 0

    def uploaded(self, folder: Path) -> Archive:
        archive = pack(folder)
        upload(open_store(self.url), archive)
        return archive

    @contextmanager
    def held(self, sha256: str) -> Iterator[Path]:
        self.own += 1
        own = self.scratch / f"own-{self.own}"
        own.mkdir()
        world = World(store=open_store(self.url), say=self.said.append)
        with code_folder(world, sha256, {"HPO_PIPE_SCRATCH": str(self.scratch)}, own) as folder:
            yield folder

    def holder(self, sha256: str) -> subprocess.Popen[str]:
        self.own += 1
        own = self.scratch / f"own-{self.own}"
        own.mkdir()
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, self.url, sha256, str(self.scratch), str(own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def archive(place: Place, tmp_path: Path) -> Archive:
    return place.uploaded(written(tmp_path / "code", {f"pkg/m{i}.py": f"X = {i}\n" for i in range(200)}))


def test_it_is_there_while_it_is_held(place: Place, archive: Archive) -> None:
    with place.held(archive.sha256) as folder:
        assert folder == place.shared / archive.sha256
        assert (folder / "pkg" / "m7.py").read_text() == "X = 7\n"
        with place.held(archive.sha256) as again:
            assert again == folder
        assert folder.exists()
    assert list(place.shared.iterdir()) == []
    assert place.said == []


def test_many_at_once_share_one(place: Place, archive: Archive) -> None:
    holders = [place.holder(archive.sha256) for _ in range(4)]
    try:
        folders = {holder.stdout.readline().strip() for holder in holders if holder.stdout}
        assert folders == {str(place.shared / archive.sha256)}
        for holder in holders[:-1]:
            holder.communicate("", timeout=20)
            assert holder.returncode == 0
            assert (place.shared / archive.sha256 / "pkg" / "m199.py").exists()
    finally:
        for holder in holders:
            if holder.poll() is None:
                holder.communicate("", timeout=20)
    assert list(place.shared.iterdir()) == []


def test_what_a_killed_worker_left_is_made_anew_or_removed(
    place: Place, archive: Archive, tmp_path: Path
) -> None:
    holder = place.holder(archive.sha256)
    assert holder.stdout and holder.stdout.readline()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    left = place.shared / archive.sha256
    (left / "pkg" / "m1.py").unlink()
    (place.shared / f".{archive.sha256}.0123456789abcdef").mkdir()
    other = place.uploaded(written(tmp_path / "other", {"train.py": ""}))
    with place.held(other.sha256):
        assert not left.exists()
        with place.held(archive.sha256) as folder:
            assert (folder / "pkg" / "m1.py").exists()
    assert list(place.shared.iterdir()) == []


def test_a_folder_that_a_trial_changed_is_not_shared(place: Place, archive: Archive) -> None:
    with place.held(archive.sha256) as folder:
        (folder / "pkg" / "m1.py").unlink()
        with place.held(archive.sha256) as own:
            assert own == place.scratch / "own-2" / "code"
            assert (own / "pkg" / "m1.py").exists()
    assert "changed by a trial" in place.said[0]


@pytest.mark.parametrize("kind", ["link", "open to all", "file"])
def test_a_place_that_is_not_ours_is_not_used(
    place: Place, archive: Archive, kind: str, tmp_path: Path
) -> None:
    if kind == "link":
        place.shared.symlink_to(tmp_path)
    elif kind == "file":
        place.shared.touch()
    else:
        place.shared.mkdir()
        place.shared.chmod(0o777)
    with place.held(archive.sha256) as folder:
        assert folder == place.scratch / "own-1" / "code"


def test_what_is_missing_or_wrong_is_said(place: Place, archive: Archive) -> None:
    with (
        pytest.raises(CodeMissing, match=f"no code at {place.url}/code/{'0' * 64}.tar.gz"),
        place.held("0" * 64),
    ):
        pass
    store = open_store(place.url)
    store.create(code_key("1" * 64), archive.data)
    with pytest.raises(DamagedRecord, match=f"it has sha256 {archive.sha256}"), place.held("1" * 64):
        pass


def test_a_giant_is_not_fetched(place: Place, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_PACKED_BYTES", 100)
    monkeypatch.setattr("storage_schema.store.local.LocalStore.get", None)  # would fail
    with pytest.raises(DamagedRecord, match="has at most 100"), place.held(archive.sha256):
        pass


def test_half_an_archive_leaves_nothing(tmp_path: Path) -> None:
    def found() -> Iterator[Member]:
        yield Member(name="a", kind=Kind.FILE, data=b"1")
        raise DamagedRecord("k", "cut off")

    with pytest.raises(DamagedRecord):
        code.unpack(found(), tmp_path / "code")
    assert list(tmp_path.iterdir()) == []


def test_nobody_sees_half_of_it(place: Place, archive: Archive) -> None:
    """Killed at any moment, a worker leaves a whole folder or none."""
    for pause in range(6):
        holder = place.holder(archive.sha256)
        wait_until(lambda: any(place.shared.glob("*.lock")), 20, "the lock")
        for _ in range(pause * 20):
            place.shared.exists()
        holder.kill()
        holder.communicate()
        folder = place.shared / archive.sha256
        assert not folder.exists() or len(list((folder / "pkg").iterdir())) == 200
        for lock in place.shared.glob("*.lock"):
            lock.unlink()
