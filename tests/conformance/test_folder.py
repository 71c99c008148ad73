"""What only a folder can do wrong: torn files, links, kills, full disks, strangers' files."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from storage_schema.errors import (
    AccessDenied,
    DamagedRecord,
    OutcomeUnknown,
    ProtocolViolation,
    StoreUnavailable,
    UserError,
)
from storage_schema.store import Blob, Created, Unchanged, open_store, study_url
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

CREATE_FOREVER = """
import sys, itertools
from storage_schema.store import open_store
store = open_store(sys.argv[1])
for number in itertools.count():
    store.create(f"chain/{number % 97:08}/{sys.argv[2]}-{number:08}.json", (f"{number:08}" * 2000).encode())
    store.replace("hints/board.json", (f"{number:08}" * 2000).encode())
"""

FILL = """
import resource, sys
from storage_schema.errors import StoreUnavailable
from storage_schema.store import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
store = open_store(sys.argv[1])
store.create("log/00000000.json", b"x" * 5000)
for verb in (store.create, store.replace):
    try:
        verb("log/00000001.json", b"x" * 9000)
    except StoreUnavailable as error:
        print(error)
"""


@pytest.fixture
def store(tmp_path: Path):
    return open_store((tmp_path / "study").as_uri())


def test_processes_killed_in_the_midst_of_writes_leave_nothing_torn(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    store = open_store(url)
    for life in range(12):
        writer = subprocess.Popen([sys.executable, "-c", CREATE_FOREVER, url, f"{life}"], cwd=ROOT)
        wait_until(lambda life=life: any(tmp_path.glob(f"chain/*/{life}-*.json")), 20, "the writer to write")
        threading.Event().wait(0.013 * life)  # not to hide a race: to be killed at various moments
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        board = store.get("hints/board.json")
        assert board is None or (
            len(board.data) == 16_000 and len(set(zip(*[iter(board.data)] * 8, strict=True))) == 1
        )
    keys = [stat.key for stat in store.list("chain/")]
    assert len(keys) > 12
    for key in keys:
        number = key[-13:-5]
        assert store.get(key).data == (number * 2000).encode()
    assert store.create("chain/00000000/next.json", b"") is Created.CREATED


def test_leftovers_of_the_killed_are_not_listed(store, tmp_path: Path) -> None:
    store.create("log/00000000.json", b"{}")
    (tmp_path / "study/log/.00000001.json.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "study/log/name with spaces").write_bytes(b"a stranger's")
    (tmp_path / "study/log/\u00e9.json").write_bytes(b"a stranger's")
    assert [stat.key for stat in store.list("")] == ["log/00000000.json"]
    with pytest.raises(ProtocolViolation):
        store.get("log/.00000001.json.0123456789abcdef.tmp")


def test_the_content_is_on_disk_before_the_name_and_the_name_before_the_answer(store, monkeypatch) -> None:
    store.create("log/00000000.json", b"{}")
    steps: list[str] = []
    sync, link, unlink = os.fsync, os.link, os.unlink

    def watched_sync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "link", lambda *a, **k: (steps.append("link"), link(*a, **k)))
    monkeypatch.setattr(os, "unlink", lambda p: (steps.append("unlink"), unlink(p)))
    store.create("log/00000001.json", b"{}")
    assert steps[:4] == ["sync file", "link", "sync folder", "unlink"]
    steps.clear()
    store.create("chain/00000001/000.0001.json", b"{}")  # two new folders, each entered durably first
    assert steps[:4] == ["sync folder", "sync folder", "sync file", "link"]
    steps.clear()
    store.replace("hints/board.json", b"{}")
    assert steps == []


def test_a_link_whose_answer_an_nfs_server_lost_is_ones_own(store, monkeypatch) -> None:
    link = os.link

    def lost(*arguments, **options):
        link(*arguments, **options)
        raise FileExistsError

    monkeypatch.setattr(os, "link", lost)
    assert store.create("log/00000000.json", b"mine") is Created.CREATED
    monkeypatch.undo()
    assert store.create("log/00000000.json", b"yours") is Created.EXISTS


def test_a_flush_that_fails_after_the_link_is_not_taken_for_success(store, monkeypatch) -> None:
    store.create("log/00000000.json", b"{}")
    sync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OutcomeUnknown, match=r"log/00000001\.json: Input/output error"):
        store.create("log/00000001.json", b"{}")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root and mount(8)")
def test_a_full_disk_is_named_and_leaves_nothing_torn(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        store, written = open_store(tmp_path.as_uri()), 0
        with pytest.raises(StoreUnavailable, match=rf"create {tmp_path}/.*no space left"):
            for written in range(100):
                store.create(f"log/{written:08}.json", b"x" * 7000)
        with pytest.raises(StoreUnavailable, match="no space left"):
            store.replace("hints/board.json", b"x" * 60_000)
        found = list(store.list(""))
        assert [entry.size for entry in found] == [7000] * written
        assert list(tmp_path.rglob("*.tmp")) == []
        store.delete("log/00000000.json")
        assert store.create(f"log/{written:08}.json", b"x" * 7000) is Created.CREATED
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_file_size_limit_is_named_and_leaves_nothing_torn(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FILL, tmp_path.as_uri()], capture_output=True, text=True, cwd=ROOT
    )
    assert said.stderr == ""
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["create", "replace"]
    assert said.stdout.count("no space left") == 2
    assert [(entry.key, entry.size) for entry in open_store(tmp_path.as_uri()).list("")] == [
        ("log/00000000.json", 5000)
    ]
    assert list(tmp_path.rglob("*.tmp")) == []


def test_symbolic_links_are_not_followed(store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "00000000.json").write_bytes(b"a secret")
    store.create("chain/00000000/000.0001.json", b"{}")
    (tmp_path / "study/log").symlink_to(outside)
    (tmp_path / "study/chain/00000000/000.0002.json").symlink_to(outside / "00000000.json")
    for verb in (
        lambda: store.get("log/00000000.json"),
        lambda: store.create("log/00000001.json", b""),
        lambda: store.replace("log/00000001.json", b""),
        lambda: store.delete("log/00000000.json"),
        lambda: list(store.list("log/")),
        lambda: store.get("chain/00000000/000.0002.json"),
    ):
        with pytest.raises(DamagedRecord, match="symbolic link"):
            verb()
    assert [entry.key for entry in store.list("")] == ["chain/00000000/000.0001.json"]
    assert sorted(path.name for path in outside.iterdir()) == ["00000000.json"]


def test_a_linked_root_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    store = open_store((tmp_path / "linked/study").as_uri())
    store.create("study.json", b"{}")
    (tmp_path / "linked").unlink()
    assert isinstance(store.get("study.json"), Blob)
    assert (tmp_path / "real/study/study.json").is_file()


def test_a_planted_pipe_does_not_block_a_reader(store, tmp_path: Path) -> None:
    store.create("log/00000000.json", b"{}")
    os.mkfifo(tmp_path / "study/log/00000001.json")
    with pytest.raises(DamagedRecord, match="no ordinary file"):
        store.get("log/00000001.json")
    assert [entry.key for entry in store.list("log/")] == ["log/00000000.json"]


def test_files_and_folders_are_private(store, tmp_path: Path) -> None:
    store.create("chain/00000000/000.0001.json", b"{}")
    store.replace("hints/board.json", b"{}")
    modes = {
        path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")
    }
    assert set(modes.values()) == {0o600, 0o700}
    assert modes["study/chain/00000000/000.0001.json"] == 0o600
    assert modes["study/chain"] == 0o700


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = open_store((tmp_path / "absent").as_uri())
    assert store.get("study.json") is None
    assert list(store.list("")) == []
    store.delete("study.json")
    assert not (tmp_path / "absent").exists()


def test_folders_that_vanish_are_made_again(store, tmp_path: Path) -> None:
    store.create("checkpoints/00000001/a/manifest.json", b"{}")
    store.delete("checkpoints/00000001/a/manifest.json")
    assert list((tmp_path / "study").iterdir()) == []
    assert store.create("checkpoints/00000001/a/manifest.json", b"{}") is Created.CREATED
    shutil.rmtree(tmp_path / "study")
    assert store.get("checkpoints/00000001/a/manifest.json") is None
    assert store.create("checkpoints/00000001/a/manifest.json", b"{}") is Created.CREATED


def test_versions_differ_also_where_time_and_inode_repeat(store) -> None:
    seen: set[str] = set()
    for number in range(500):
        store.replace("hints/board.json", f"{number:03}".encode())
        seen.add(store.get("hints/board.json").version)
    assert len(seen) >= 499
    assert store.get("hints/board.json", unless=store.get("hints/board.json").version) is Unchanged.UNCHANGED


def test_a_folder_without_permission_is_unavailable_not_absent() -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        open_store(folder).create("log/00000000.json", b"{}")
        Path(folder).chmod(0o755)
        Path(folder, "log").chmod(0o700 if root else 0)
        store = open_store(folder)
        try:
            if root:
                os.seteuid(65534)  # root may do everything
            for verb in (
                lambda: store.get("log/00000000.json"),
                lambda: store.get("log/00000001.json"),
                lambda: list(store.list("log/")),
                lambda: store.create("log/00000001.json", b"{}"),
                lambda: store.delete("log/00000000.json"),
            ):
                with pytest.raises(AccessDenied, match=r"log.*: Permission denied"):
                    verb()
        finally:
            if root:
                os.seteuid(0)
            Path(folder, "log").chmod(0o700)


def test_urls_of_folders(tmp_path: Path) -> None:
    assert open_store(str(tmp_path / "with space")).url == study_url(str(tmp_path / "with space"))
    (tmp_path / "file").write_bytes(b"")
    for url, words in (
        ("file:///", "names no place"),
        ("/", "root of the file system"),
        ("file://host/x", "three slashes"),
        ((tmp_path / "file").as_uri(), "is a file"),
    ):
        with pytest.raises(UserError, match=words):
            open_store(url)


def test_an_object_larger_than_its_kind_is_not_read(tmp_path: Path) -> None:
    """Sparse, so that it costs nobody anything but a reader's memory."""
    store = open_store(str(tmp_path / "study"))
    for key in ("hints/board.json", "log/00000000.json", "metrics/00000000/000.0001.000001.parquet"):
        store.create(key, b"{}")
        with (tmp_path / "study" / key).open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(DamagedRecord, match=rf"^{key}: 1099511627776 bytes, more than"):
            store.get(key)
    assert isinstance(store.get("hints/board.json", unless=next(store.list("hints/")).version), Unchanged)


def test_a_folder_in_an_objects_place_is_named(tmp_path: Path) -> None:
    """It neither exists nor is absent: a create would ask again and again."""
    store = open_store(str(tmp_path / "study"))
    (tmp_path / "study" / "log" / "00000000.json").mkdir(parents=True)
    for write in (store.create, store.replace):
        with pytest.raises(DamagedRecord, match=r"^log/00000000\.json: .* is a folder"):
            write("log/00000000.json", b"{}")
    assert store.get("log/00000000.json") is None


def test_a_folder_has_one_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission's name at its provider is made of the URL."""
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    monkeypatch.chdir(tmp_path / "deep")
    for text in ("../study", "down/../../study", str(tmp_path / "deep" / ".." / "study"), "../deep/../study"):
        assert study_url(text) == (tmp_path / "study").as_uri()
    assert study_url(str(tmp_path / "link" / ".." / "study")) == (tmp_path / "deep" / "study").as_uri()
