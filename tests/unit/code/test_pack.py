"""A folder becomes an archive: the same bytes everywhere, without what does not belong there."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import socket
import stat
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpo_pipe.launch.code import pack, upload
from hpo_pipe.launch.code_files import IGNORED
from storage_schema.code_archive import MAX_MEMBERS
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.keys import code_key
from storage_schema.store import Blob, Store, open_store

TREE = {
    "train.py": "print('hello')\n",
    "model/net.py": "class Net: ...\n",
    "model/a-b.txt": "x",
    "run.sh": "#!/bin/sh\nexec python train.py\n",
    "données.txt": "é",
}
TAR_SHA256 = "180d2ab3f360e20b2eb81a66305415d14caa51c208c82de7015f3df7547dd7d7"
GZ_SHA256 = "1a943516e01cfca8b73a3f7ec7347a12849e45dcc4c409fd4655fc7c2d8def7d"


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a tree of files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = written(tmp_path / "code", TREE)
    (root / "run.sh").chmod(0o755)
    (root / "model" / "link.py").symlink_to("net.py")
    (root / "empty").mkdir()
    return root


def test_equal_folders_give_equal_bytes(tree: Path, tmp_path: Path) -> None:
    first = pack(tree)
    shuffled = list(TREE.items())
    before = os.umask(0o077)
    try:
        for seed in range(3):
            random.Random(seed).shuffle(shuffled)
            other = written(tmp_path / f"other-{seed}", dict(shuffled))
            (other / "run.sh").chmod(0o711)
            (other / "empty").mkdir(mode=0o500)
            (other / "model" / "link.py").symlink_to("./net.py")
            for path in other.rglob("*"):
                os.utime(path, (seed, seed), follow_symlinks=False)
            assert pack(other) == first
    finally:
        os.umask(before)


def test_the_bytes_are_pinned(tree: Path) -> None:
    archive = pack(tree)
    tar = gzip.decompress(archive.data)
    assert names(archive.data) == [
        *("données.txt", "empty"),
        *("model", "model/a-b.txt", "model/link.py", "model/net.py", "run.sh", "train.py"),
    ]
    assert hashlib.sha256(tar).hexdigest() == TAR_SHA256
    assert archive.data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert archive.sha256 == hashlib.sha256(archive.data).hexdigest()
    if "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION:
        assert archive.sha256 == GZ_SHA256


def test_nothing_of_the_machine_is_in_it(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(tree).data)) as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
            assert stat.S_IMODE(member.mode) in (0o644, 0o755, 0o777)


def test_what_is_left_out(tree: Path) -> None:
    kept = set(names(pack(tree).data))
    clutter = {
        ".git/config": "[core]",
        "model/__pycache__/net.cpython-311.pyc": b"\0",
        "x.pyc": b"\0",
        ".venv/bin/python": "",
        "my-env/pyvenv.cfg": "home = /usr",
        "my-env/bin/python": "",
        "web/node_modules/left-pad/index.js": "",
        "hpo-pipe-studies/first/study.json": "{}",
        ".ipynb_checkpoints/a.ipynb": "{}",
        "wandb/run-1/log": "",
        "data/big.bin": b"1" * 1000,
        "notes.md": "keep",
        "logs/old.log": "",
        "logs/keep.log": "kept",
    }
    written(tree, clutter)
    (tree / ".hpoignore").write_text("# mine\n/data\nlogs/*\n!logs/keep.log\n!wandb/\nweb/\n")
    assert set(names(pack(tree).data)) - kept == {
        *(".hpoignore", "notes.md", "logs", "logs/keep.log", "wandb", "wandb/run-1", "wandb/run-1/log"),
    }
    assert len(IGNORED) == len(set(IGNORED))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"*.log\n!\n", "line 2: '!' is no pattern"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (1 << 20) + b"##", "larger than"),
    ],
)
def test_a_wrong_ignore_file_is_refused(tree: Path, lines: bytes, said: str) -> None:
    (tree / ".hpoignore").write_bytes(lines)
    with pytest.raises(UserError, match=said):
        pack(tree)


def test_too_much_names_the_largest(tree: Path) -> None:
    written(tree, {"data/a.bin": b"x" * 3_000_000, "data/b.bin": b"y" * 5_000_000})
    with pytest.raises(
        UserError,
        match=r"holds 8\.0 MB, allowed are 7\.0 MB; the largest: data/b.bin \(5\.0 MB\), data/a.bin",
    ):
        pack(tree, most_bytes=7_000_000)
    assert pack(tree, most_bytes=9_000_000).content_bytes > 8_000_000


def test_too_many_files_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_pipe.launch.code.MAX_MEMBERS", 3)
    with pytest.raises(UserError, match="holds 8 files and folders, allowed are 3"):
        pack(tree)
    assert MAX_MEMBERS > 1000


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside", "model/../../outside", "model/../train.py", "..", "a\nb"]
)
def test_links_that_lead_out_are_refused(tree: Path, target: str) -> None:
    (tree / "bad").symlink_to(target)
    with pytest.raises(UserError, match=r"--code: bad: it is a link .* a line in \.hpoignore leaves it out"):
        pack(tree)
    (tree / ".hpoignore").write_text("bad\n")
    pack(tree)


def test_links_within_are_kept_and_said_where_they_lead_nowhere(tree: Path) -> None:
    (tree / "model" / "up").symlink_to("../train.py")
    (tree / "here").symlink_to("./")
    (tree / "gone").symlink_to("model/missing.py")
    assert pack(tree).warnings == ("gone is a link to what is not packed: model/missing.py",)


def test_special_files_are_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(UserError, match="pipe: it is a device, a pipe or a socket"):
        pack(tree)
    (tree / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "s"))
        with pytest.raises(UserError, match="--code: s: it is a device"):
            pack(tree)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(tree: Path) -> None:
    (tree / "train.py").chmod(0)
    with pytest.raises(UserError, match=r"train\.py: it cannot be read \(Permission denied\)"):
        pack(tree)


def test_a_file_that_vanishes_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def opened(path: object, *arguments: object, **named: object) -> int:
        if str(path).endswith("train.py"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(UserError, match=r"train\.py: it cannot be read \(Permission denied\)"):
        pack(tree)


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.py",
        os.fsdecode(b"\xff.py"),
        "x" * 200 + "/" + "y" * 200 + "/" + "z" * 200 + "/" + "w" * 200 + "/" + "v" * 255,
    ],
)
def test_names_that_no_archive_holds_are_refused(tree: Path, name: str) -> None:
    written(tree, {name: ""})
    with pytest.raises(UserError, match=r"control character|not UTF-8|longer than"):
        pack(tree)


def test_names_that_differ_by_case_alone_are_said(tree: Path) -> None:
    written(tree, {"Train.py": "", "model/NET.py": ""})
    assert set(pack(tree).warnings) == {
        "model/NET.py and model/net.py are one file where case does not count",
        "Train.py and train.py are one file where case does not count",
    }


@pytest.mark.parametrize("content", [{}, {".git/config": "x"}])
def test_a_folder_without_code_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    written(tmp_path, content)
    with pytest.raises(UserError, match="holds no file"):
        pack(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder"):
        pack(tmp_path / "file")
    with pytest.raises(UserError, match="does not exist"):
        pack(tmp_path / "missing")


class TestUpload:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(f"file://{tmp_path}/study")

    def test_is_sent_once(self, tree: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        archive = pack(tree)
        assert upload(store, archive)
        found = store.get(code_key(archive.sha256))
        assert isinstance(found, Blob) and found.data == archive.data
        monkeypatch.setattr(type(store), "create", None)  # would fail
        assert not upload(store, archive)

    def test_other_bytes_in_its_place_are_refused(self, tree: Path, store: Store) -> None:
        archive = pack(tree)
        store.create(code_key(archive.sha256), b"something else")
        with pytest.raises(DamagedRecord, match="14 bytes"):
            upload(store, archive)

    def test_other_bytes_that_come_at_the_same_time_are_refused(
        self, tree: Path, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = pack(tree)
        monkeypatch.setattr(type(store), "list", lambda *_: iter(()))  # a late listing
        store.create(code_key(archive.sha256), b"something else")
        with pytest.raises(DamagedRecord, match="other bytes"):
            upload(store, archive)
