"""Listings of a folder against a model, and what `doctor` says of the file system under it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_schema.store import open_store
from storage_schema.store.local_checks import check_file_system, mount_of


@pytest.fixture
def store(tmp_path: Path):
    return open_store((tmp_path / "study").as_uri())


NAMES = st.lists(
    st.lists(
        st.sampled_from(["a", "a-", "a.", "a0", "b", "A", "0", ".b", "a-b", "_"]), min_size=1, max_size=3
    ),
    max_size=25,
)


@given(
    names=NAMES, prefix=st.sampled_from(["", "a", "a/", "a-", "a/b", "b/", "A/a/"]), pick=st.integers(0, 40)
)
def test_listings_are_sorted_selections(names, prefix, pick, tmp_path_factory) -> None:
    files = {"/".join(parts) + "/f" for parts in names}  # no file is also a folder
    folder = tmp_path_factory.mktemp("listing")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    store = open_store(folder.as_uri())
    afters = ["", *sorted(files), "a/", "a", "zz"]
    after = afters[pick % len(afters)]
    listed = [entry.key for entry in store.list(prefix, after)]
    assert listed == sorted(name for name in files if name.startswith(prefix) and name > after)


def test_a_position_passes_over_whole_folders(store, monkeypatch) -> None:
    for entry in range(30):
        store.create(f"chain/{entry:08}/000.0001.json", b"{}")
    looked_at: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looked_at.append(str(path)), scan(path))[1])
    assert len(list(store.list("chain/", start_after="chain/00000027/000.0001.json"))) == 2
    assert len(looked_at) == 4


MOUNTS = """/dev/vda / ext4 rw,relatime 0 0
server:/x /home/a\\040b nfs4 rw,vers=4.2,soft,acregmax=60 0 0
server:/y /fast nfs4 rw,hard,lookupcache=pos,actimeo=1 0 0
//pc/share /smb cifs rw,cache=strict 0 0
tmpfs /dev/shm tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "verdict", "words"),
    [
        ("/data", "ok", "ext4 at /"),
        ("/home/a b/study", "warning", "lookupcache=positive,actimeo=1"),
        ("/home/a bc", "ok", "ext4 at /"),
        ("/fast/study", "ok", "nfs4 at /fast"),
        ("/smb", "warning", "cache=none"),
        ("/dev/shm/x", "warning", "a reboot loses the study"),
    ],
)
def test_the_file_system_is_named(path, verdict, words, tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    (check,) = check_file_system(path, str(tmp_path / "mounts"))
    assert (check.verdict.value, words in check.detail) == (verdict, True)


def test_the_file_system_of_this_machine() -> None:
    if not Path("/proc/mounts").exists():
        pytest.skip("this system has no /proc/mounts")
    assert mount_of("/").folder == "/"
    assert mount_of("/data", "/absent/mounts") is None
