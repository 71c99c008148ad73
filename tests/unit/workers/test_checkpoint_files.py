"""What a trial leaves for a checkpoint: read within its folder and within bounds, and removed whatever it is."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest

from storage_schema.errors import UserError
from storage_schema.keys import LinkId, SpecId
from storage_schema.store.memory import MemoryStore
from workers import checkpoint_files
from workers.checkpoint_files import file_bytes, file_names
from workers.commit import Commits
from workers.remove_tree import remove_tree


def nested(folder: Path, depth: int) -> None:
    """Make a tree far deeper than a path may be long."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_files_in_folders_are_named_and_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"1")
    (tmp_path / "x").write_bytes(b"22")
    assert file_names(tmp_path) == ("a/b/c", "x")
    assert [file_bytes(tmp_path, name) for name in file_names(tmp_path)] == [b"1", b"22"]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    "plant",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("/etc"),
        lambda path: os.mkfifo(path),
        make_socket,
        lambda path: (path.parent / "line\nend").write_text(""),
        lambda path: Path(os.fsdecode(bytes(path.parent) + b"/\xff\xfe")).write_text(""),
        lambda path: (path.parent / "\u202egpj.exe").write_text(""),
        lambda path: (path.parent / "...").write_text(""),
        lambda path: nested(path.parent, 3_000),
    ],
    ids=["link", "folder-link", "fifo", "socket", "newline", "bytes", "rtl", "dots", "deep"],
)
def test_what_is_no_plain_file_of_a_good_name_is_refused(plant, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    plant(folder / "f")
    with pytest.raises(UserError) as refused:
        file_names(folder)
    assert str(refused.value).isprintable()
    remove_tree(folder)
    assert not folder.exists()


def test_too_many_files_and_too_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "MAX_FILES", 3)
    monkeypatch.setattr(checkpoint_files, "MAX_ENTRIES", 6)
    for place in range(4):
        (tmp_path / f"d{place}").mkdir()
    assert file_names(tmp_path) == ()
    (tmp_path / "d0" / "e").mkdir()
    (tmp_path / "d1" / "e").mkdir()
    (tmp_path / "d2" / "e").mkdir()
    with pytest.raises(UserError, match="more than 6 files and folders"):
        file_names(tmp_path)
    remove_tree(tmp_path / "d0")
    for place in range(4):
        (tmp_path / f"f{place}").write_text("")
    with pytest.raises(UserError, match="more than"):
        file_names(tmp_path)


@pytest.mark.parametrize("part", ["f", "d"])
def test_a_link_that_takes_a_files_place_is_not_followed(tmp_path: Path, part: str) -> None:
    folder, outside = tmp_path / "1", tmp_path / "outside"
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "f").write_text("weights")
    outside.mkdir()
    (outside / "f").write_text("secret")
    assert file_names(folder) == ("d/f",)
    if part == "f":
        (folder / "d" / "f").unlink()
        (folder / "d" / "f").symlink_to(outside / "f")
    else:
        remove_tree(folder / "d")
        (folder / "d").symlink_to(outside)
    with pytest.raises(OSError, match=r"symbolic|directory"):
        file_bytes(folder, "d/f")


def test_a_fifo_that_takes_a_files_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OSError, match="no plain file"):
        file_bytes(tmp_path, "f")


def test_a_file_larger_than_any_store_takes_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(checkpoint_files.MAX_FILE_BYTES + 1)
    with pytest.raises(UserError, match="more than 5368709120"):
        file_names(tmp_path)


def commits(tmp_path: Path, said: list[str]) -> Commits:
    return Commits(
        MemoryStore("memory://checkpoint-files"),
        LinkId(SpecId(0, 0), 1),
        trial=0,
        checkpoint_dir=tmp_path / "checkpoints",
        taken=tmp_path / "taken",
        counts=lambda resource: True,
        complain=said.append,
    )


def test_a_folder_of_checkpoints_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    """Taking entries away behind a link would move, and then delete, files that are the user's."""
    precious, said = tmp_path / "precious", []
    (precious / "not-a-number").mkdir(parents=True)
    (precious / "7").mkdir()
    (tmp_path / "checkpoints").symlink_to(precious)
    found = commits(tmp_path, said)
    for _ in range(3):
        found.scan(0.0)
    assert sorted(path.name for path in precious.iterdir()) == ["7", "not-a-number"]
    assert found.waiting == []
    assert len(said) == 1
    assert "is not looked at" in said[0]


def test_what_cannot_be_taken_away_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "checkpoints" / "4").mkdir()
    (tmp_path / "taken").write_text("in the way")
    found = commits(tmp_path, said)
    for _ in range(5):
        found.scan(0.0)
    assert len(said) == 2


def test_a_deep_tree_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    nested(folder, 3_000)
    (folder / "locked").mkdir(mode=0o000)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (folder / "out").symlink_to(tmp_path / "kept")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(int(descriptor.name) for descriptor in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 16, hard))
    try:
        remove_tree(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not folder.exists()
    assert (tmp_path / "kept" / "file").exists()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    assert (tmp_path / "kept" / "file").exists()
