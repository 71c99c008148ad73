"""Archives that hostile hands made: refused before anything of them is written."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_pipe.launch.code import packed
from storage_schema import code_archive
from storage_schema.code_archive import Kind, Member
from storage_schema.errors import DamagedRecord
from workers.archive import members
from workers.code import holds, unpack

KEY = "code/x.tar.gz"
Header = dict[str, Any]


def tar(*headers: Header, end: bytes = b"") -> bytes:
    """Return a tar file; `data` of a header is what lies behind it."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for fields in headers:
            data = fields.pop("data", b"")
            header = tarfile.TarInfo()
            header.size = len(data)
            for name, value in fields.items():
                setattr(header, name, value)
            archive.addfile(header, io.BytesIO(data) if data else None)
    return into.getvalue() + end


def folder(name: str) -> Header:
    return {"name": name, "type": tarfile.DIRTYPE}


def file(name: str, data: bytes = b"x") -> Header:
    return {"name": name, "data": data}


def link(name: str, target: str, type: bytes = tarfile.SYMTYPE) -> Header:
    return {"name": name, "type": type, "linkname": target}


HOSTILE: dict[str, Callable[[], bytes]] = {
    "climbs": lambda: tar(file("../evil")),
    "climbs in the middle": lambda: tar(folder("a"), file("a/../../evil")),
    "absolute": lambda: tar(file("/tmp/evil")),
    "dot": lambda: tar(file("./a")),
    "empty name": lambda: tar(file("")),
    "newline": lambda: tar(file("a\nb")),
    "too long": lambda: tar(file("x" * 256)),
    "link out": lambda: tar(link("a", "../evil")),
    "link absolute": lambda: tar(link("a", "/etc")),
    "link to nothing": lambda: tar(link("a", "")),
    "link through a link": lambda: tar(folder("d"), link("d/up", ".."), link("e", "d/up/../..")),
    "file through a link": lambda: tar(link("a", "."), file("a/evil")),
    "link in the place of a folder": lambda: tar(folder("a"), link("a", "."), file("a/evil")),
    "hard link": lambda: tar(file("a"), link("b", "a", tarfile.LNKTYPE)),
    "hard link out": lambda: tar(link("b", "/etc/passwd", tarfile.LNKTYPE)),
    "character device": lambda: tar({"name": "null", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
    "block device": lambda: tar({"name": "sda", "type": tarfile.BLKTYPE}),
    "pipe": lambda: tar({"name": "pipe", "type": tarfile.FIFOTYPE}),
    "contiguous": lambda: tar({"name": "a", "type": tarfile.CONTTYPE}),
    "sparse": lambda: tar({"name": "a", "type": tarfile.GNUTYPE_SPARSE}),
    "sparse by pax": lambda: tar(
        {
            "name": "a",
            "data": b"1\n0\n1\n" + b"x" * 506,
            "pax_headers": {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.realsize": str(1 << 50),
                "GNU.sparse.name": "a",
            },
        }
    ),
    "twice": lambda: tar(file("a"), file("a", b"other")),
    "folder twice": lambda: tar(folder("a"), folder("a")),
    "file as folder": lambda: tar(file("a"), file("a/b")),
    "before its folder": lambda: tar(file("a/b")),
    "cut off": lambda: tar(file("a", b"x" * 2000))[:1024],
    "no tar": lambda: b"x" * 1024,
    "nothing": lambda: b"",
}


def refused(data: bytes, tmp_path: Path, match: str = "not an archive of code that may be unpacked") -> None:
    with pytest.raises(DamagedRecord, match=match):
        unpack(members(data, KEY), tmp_path / "code")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_archive_may_hold_is_refused(name: str, tmp_path: Path) -> None:
    refused(gzip.compress(HOSTILE[name]()), tmp_path)


GOOD = gzip.compress(tar(folder("a"), file("a/b", b"hello")), mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"PK\3\4", GOOD[:-1], GOOD[:-8], GOOD[:20], GOOD + b"x", GOOD + GOOD, b"x" + GOOD),
        GOOD[:-8] + bytes(8),
        zlib.compress(tar(file("a"))),
    ],
)
def test_bad_gzip_is_refused(data: bytes, tmp_path: Path) -> None:
    refused(data, tmp_path)


def test_a_bomb_is_refused_while_it_unfolds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 GB of zeros in 1 MB: refused at the bound, with no more than pieces of it in memory."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = tar(file("a"))
    bomb = (
        deflate.compress(head)
        + b"".join(deflate.compress(bytes(1 << 20)) for _ in range(64))
        + deflate.flush()
    )
    monkeypatch.setattr("workers.archive.MAX_TAR_BYTES", 1 << 22)
    refused(bomb, tmp_path, "larger than 4,194,304 bytes")


def test_what_headers_promise_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.archive.MAX_CONTENT_BYTES", 1000)
    refused(
        gzip.compress(tar(file("a", b"x" * 600), file("b", b"y" * 600))),
        tmp_path,
        "larger than 1,000 bytes together",
    )
    monkeypatch.setattr("workers.archive.MAX_MEMBERS", 2)
    refused(gzip.compress(tar(*(folder(f"d{i}") for i in range(3)))), tmp_path, "more than 2 members")


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    short = tar({"name": "a", "size": 1 << 40})
    refused(gzip.compress(short), tmp_path)


def test_a_real_folder_of_links_goes_nowhere(tmp_path: Path) -> None:
    """Whatever links are let through, each leads to a place within the folder."""
    found = [
        Member(name="p", kind=Kind.FOLDER),
        Member(name="p/q", kind=Kind.FOLDER),
        Member(name="p/q/top", kind=Kind.LINK, target="../.."),
        Member(name="through", kind=Kind.LINK, target="p/q/top/p"),
        Member(name="self", kind=Kind.LINK, target="self"),
    ]
    unpack(members(packed(found), KEY), tmp_path / "code")
    for path in ("p/q/top", "through"):
        assert (tmp_path / "code" / path).resolve().is_relative_to(tmp_path / "code")


def test_files_are_read_only_and_folders_are_not(tmp_path: Path) -> None:
    found = [
        Member(name="d", kind=Kind.FOLDER),
        Member(name="d/run", kind=Kind.FILE, data=b"#!", executable=True),
        Member(name="x", kind=Kind.FILE, data=b"1"),
    ]
    unpack(iter(found), tmp_path / "code")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "code").rglob("*")}
    assert modes == {"d": 0o700, "run": 0o555, "x": 0o444}


def test_changes_are_noticed(tmp_path: Path) -> None:
    found = [
        Member(name="d", kind=Kind.FOLDER),
        Member(name="d/x", kind=Kind.FILE, data=b"1"),
        Member(name="l", kind=Kind.LINK, target="d"),
    ]
    root = tmp_path / "code"
    unpack(iter(found), root)
    (root / "more").write_text("left by a trial")
    assert holds(root, iter(found))
    (root / "d" / "x").chmod(0o644)
    (root / "d" / "x").write_bytes(b"2")
    assert not holds(root, iter(found))
    (root / "d" / "x").unlink()
    assert not holds(root, iter(found))
    (root / "d" / "x").symlink_to("/etc/passwd")
    assert not holds(root, iter(found))
    (root / "d" / "x").unlink()
    (root / "d" / "x").write_bytes(b"1")
    assert holds(root, iter(found))
    (root / "l").unlink()
    assert not holds(root, iter(found))


def test_bounds_fit_each_other() -> None:
    """What may be packed may be unpacked: each member has a header, padding, and three blocks for a long name."""
    most = code_archive.MAX_CONTENT_BYTES + code_archive.MAX_MEMBERS * (512 + 511 + 512 + 3 * 1024) + 20_480
    assert most <= code_archive.MAX_TAR_BYTES
    assert code_archive.MAX_CONTENT_BYTES < code_archive.MAX_PACKED_BYTES
