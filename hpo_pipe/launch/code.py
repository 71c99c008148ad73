"""A folder with a training's code, packed for workers elsewhere: an archive that is named by its content.

Equal folders give equal bytes: members are in the order of their names, owners and times are left out, permissions are
one of two, and the gzip header holds neither a time nor a name. What may still differ between two machines is the
compression, where Python is built with another zlib (zlib-ng): then the same folder is uploaded under a second name.
"""

from __future__ import annotations

import errno
import io
import os
import random
import struct
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from hpo_pipe.launch.code_files import alike, code_files, refusal
from hpo_pipe.launch.credentials import held_credential, named_like_credentials
from storage_schema.clock import Clock, SystemClock
from storage_schema.code_archive import MAX_CONTENT_BYTES, MAX_MEMBERS, Kind, Member
from storage_schema.codec import sha256
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.keys import code_key
from storage_schema.store import Store, create_settled
from storage_schema.waiting import Patience

MOST_BYTES = 100_000_000
UPLOAD_LIMIT_S = 120.0
"""How long an upload waits for a store that is away."""
MAX_WARNINGS = 20
_NAMED = 5
"""So many of the largest files are named where a folder is too large."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"  # RFC 1952: no flags, no time, system unknown
_LEVEL = 6
_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Packed code."""

    sha256: str
    data: bytes
    files: int
    content_bytes: int
    """All files together, before they were packed."""
    warnings: tuple[str, ...] = ()


def pack(folder: Path, most_bytes: int = MOST_BYTES) -> Archive:
    """Pack what is in `folder` and not ignored (`.hpoignore`, in the syntax of `.gitignore`).

    Args:
        folder: with the training's code.
        most_bytes: all files together; at most MAX_CONTENT_BYTES.

    Raises:
        UserError: no such folder, nothing in it, too much, or a file that must not be packed: a credential, a link
            that leads out of the folder, a device, a file that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"--code: {folder} {'is no folder' if folder.exists() else 'does not exist'}")
    root = folder.resolve()
    members = list(code_files(root))
    _check_count(members, root)
    _check_size(root, members, min(most_bytes, MAX_CONTENT_BYTES))
    warnings = [
        f"{one} and {other} are one file where case does not count"
        for one, other in alike([m.name for m in members])
    ]
    read = [_read(root, member, warnings) for member in members]
    found = {member.name for member in members}
    warnings += [
        f"{member.name} is a link to what is not packed: {member.target}"
        for member in members
        if member.kind is Kind.LINK and _leads_to(member) not in found | {"."}
    ]
    data = packed(read)
    return Archive(
        sha256=sha256(data),
        data=data,
        files=sum(member.kind is not Kind.FOLDER for member in members),
        content_bytes=sum(len(member.data) for member in read),
        warnings=_shortened(warnings),
    )


def packed(members: Iterable[Member]) -> bytes:
    """Return the archive of `members` that are in the order of their names: a tar file (pax) within gzip."""
    gzip = _Gzip()
    into = cast(IO[bytes], gzip)  # a stream is written to and nothing else
    with tarfile.open(mode="w|", fileobj=into, format=tarfile.PAX_FORMAT, bufsize=_BLOCK_BYTES) as tar:
        for member in members:
            tar.addfile(_header(member), io.BytesIO(member.data))
    return gzip.finished()


def upload(store: Store, archive: Archive, clock: Clock | None = None) -> bool:
    """Create the archive in a study's store; return whether it had to be sent.

    Raises:
        GaveUp: the store was away for too long.
        DamagedRecord: other bytes stand under the archive's name.
    """
    key = code_key(archive.sha256)
    patience = Patience(clock or SystemClock(), random.SystemRandom(), limit_s=UPLOAD_LIMIT_S)
    there = patience.through(lambda: [stat.size for stat in store.list(key) if stat.key == key])
    if there and there[0] != len(archive.data):
        raise DamagedRecord(
            key, f"it has {there[0]} bytes, not the {len(archive.data)} that its name stands for"
        )
    if there:
        return False
    if create_settled(store, key, archive.data, wait=patience).data != archive.data:
        raise DamagedRecord(key, "it holds other bytes than those that its name stands for")
    return True


class _Gzip:
    """What tarfile writes to; the header is ours, since zlib's names the system."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._pieces = [_GZIP_HEADER]
        self._crc = 0
        self._size = 0

    def write(self, data: bytes) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._pieces.append(self._deflate.compress(data))
        return len(data)

    def finished(self) -> bytes:
        end = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        return b"".join([*self._pieces, self._deflate.flush(), end])


def _header(member: Member) -> tarfile.TarInfo:
    header = tarfile.TarInfo(member.name)  # owners 0 without names, time 0
    header.size = len(member.data)
    match member.kind:
        case Kind.FOLDER:
            header.type, header.mode = tarfile.DIRTYPE, 0o755
        case Kind.LINK:
            header.type, header.mode, header.linkname = tarfile.SYMTYPE, 0o777, member.target
        case Kind.FILE:
            header.mode = 0o755 if member.executable else 0o644
    return header


def _check_count(members: list[Member], root: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise UserError(
            f"--code: {root} holds {len(members):,} files and folders, allowed are {MAX_MEMBERS:,}"
        )
    if all(member.kind is Kind.FOLDER for member in members):
        raise UserError(f"--code: {root} holds no file, or .hpoignore leaves out all of them")


def _check_size(root: Path, members: list[Member], most_bytes: int) -> None:
    files = [member.name for member in members if member.kind is Kind.FILE]
    sizes = sorted(((_size(root, name), name) for name in files), key=lambda found: (-found[0], found[1]))
    total = sum(size for size, _ in sizes)
    if total > most_bytes:
        largest = ", ".join(f"{name} ({_megabytes(size)})" for size, name in sizes[:_NAMED])
        raise UserError(
            f"--code: {root} holds {_megabytes(total)}, allowed are {_megabytes(most_bytes)}; "
            f"the largest: {largest}; data belongs in a bucket, and a line in .hpoignore leaves a file out"
        )


def _size(root: Path, name: str) -> int:
    try:
        return (root / name).lstat().st_size
    except OSError as error:
        raise refusal(name, f"it cannot be read ({error.strerror})") from None


def _read(root: Path, member: Member, warnings: list[str]) -> Member:
    if member.kind is not Kind.FOLDER and named_like_credentials(member.name):
        raise refusal(
            member.name, "its name is that of a file with credentials, which belong into no archive"
        )
    if member.kind is not Kind.FILE:
        return member
    try:
        data = _bytes_of(root / member.name)
    except OSError as error:
        raise refusal(member.name, f"it cannot be read ({error.strerror})") from None
    if (found := held_credential(data)) is not None:
        line, sure = found
        if sure:
            raise refusal(
                member.name,
                f"line {line} holds a key, a token or a password, which --secret hands to trials without storing it",
            )
        warnings.append(f"{member.name}, line {line}: it may be a password")
    return replace(member, data=data)


def _bytes_of(path: Path) -> bytes:
    """Read a file that was a plain one when it was listed, and that may be anything by now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_CONTENT_BYTES + 1)
    if len(data) > MAX_CONTENT_BYTES:
        raise OSError(errno.EFBIG, "it grows")
    return data


def _leads_to(link: Member) -> str:
    """Return the path that a link leads to, as far as its text says."""
    return os.path.normpath(os.path.join(os.path.dirname(link.name), link.target))  # noqa: PTH118, PTH120


def _shortened(warnings: list[str]) -> tuple[str, ...]:
    left = len(warnings) - MAX_WARNINGS
    return tuple(warnings if left <= 0 else [*warnings[:MAX_WARNINGS], f"and {left} more"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
