"""Reading an archive of code (PROTOCOL.md, 6.11): a stranger's bytes, bounded and checked before they are written.

Nothing is left to tarfile's own extraction; its filter "data" lets through what is refused here, such as hard links,
names that come twice, and links through links.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from storage_schema.code_archive import (
    MAX_CONTENT_BYTES,
    MAX_MEMBERS,
    MAX_TAR_BYTES,
    Kind,
    Member,
    link_problem,
    name_problem,
)
from storage_schema.errors import DamagedRecord

_PIECE_BYTES = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_KINDS = {tarfile.REGTYPE: Kind.FILE, tarfile.DIRTYPE: Kind.FOLDER, tarfile.SYMTYPE: Kind.LINK}


def members(data: bytes, key: str) -> Iterator[Member]:
    """Yield the members of an archive, each with its bytes; folders come before what is in them.

    Args:
        data: the archive, its sha256 verified.
        key: where it lies, for errors.

    Raises:
        DamagedRecord: no whole gzip file with one tar file in it, or a member that no archive may hold.
    """
    known: dict[str, Kind] = {}
    size = 0
    unpacked = _Unpacked(data)
    try:
        with tarfile.open(mode="r|", fileobj=cast(IO[bytes], unpacked), bufsize=_PIECE_BYTES) as tar:
            for header in tar:
                size += header.size
                member = _checked(header, known, size)
                if member.kind is Kind.FILE:
                    member = _with_bytes(tar, header, member)
                known[member.name] = member.kind
                yield member
        unpacked.finish()
    except (
        tarfile.TarError,
        zlib.error,
        _Refused,
        ValueError,
        EOFError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DamagedRecord(key, f"not an archive of code that may be unpacked: {error}") from None


class _Refused(Exception):
    """What an archive must not hold; says why."""


class _Unpacked:
    """The tar file within gzip, as a stream that ends with an error where it grows too large."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._place = 0
        self._inflate = zlib.decompressobj(_GZIP)
        self._size = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while not self._inflate.eof:
            given = self._inflate.unconsumed_tail or self._next()
            found = self._inflate.decompress(given, size)
            self._size += len(found)
            if self._size > MAX_TAR_BYTES:
                raise _Refused(f"unpacked it is larger than {MAX_TAR_BYTES:,} bytes")
            if found:
                return found
            if not given and not self._inflate.eof:
                raise _Refused("the gzip data are cut off")
        return b""

    def finish(self) -> None:
        """Read what stands behind the tar file's end; raises where the gzip data are not whole, or not alone."""
        while self.read(_PIECE_BYTES):
            pass
        if self._inflate.unused_data or self._place < len(self._data):
            raise _Refused("something stands behind the gzip data")

    def _next(self) -> bytes:
        piece = bytes(self._data[self._place : self._place + _PIECE_BYTES])
        self._place += len(piece)
        return piece


def _checked(header: tarfile.TarInfo, known: dict[str, Kind], size: int) -> Member:
    name = header.name
    kind = _KINDS.get(header.type)
    if kind is None or header.issparse():
        raise _Refused(f"{name[:200]!r} is neither a file nor a folder nor a symbolic link")
    if len(known) >= MAX_MEMBERS:
        raise _Refused(f"it has more than {MAX_MEMBERS:,} members")
    if header.size < 0 or size > MAX_CONTENT_BYTES:
        raise _Refused(f"its files are larger than {MAX_CONTENT_BYTES:,} bytes together")
    target = header.linkname if kind is Kind.LINK else ""
    problem = name_problem(name) or (link_problem(name, target) if kind is Kind.LINK else "")
    if problem:
        raise _Refused(f"{name[:200]!r}: {problem}")
    if name in known:
        raise _Refused(f"{name[:200]!r} is there twice")
    above = name.rpartition("/")[0]
    if above and known.get(above) is not Kind.FOLDER:
        raise _Refused(f"{name[:200]!r} comes before its folder, or lies in what is none")
    return Member(name=name, kind=kind, executable=bool(header.mode & 0o100), target=target)


def _with_bytes(tar: tarfile.TarFile, header: tarfile.TarInfo, member: Member) -> Member:
    file = tar.extractfile(header)
    data = file.read() if file is not None else b""
    if len(data) != header.size:
        raise _Refused(f"{member.name!r} has {len(data)} bytes, its header promises {header.size}")
    return Member(name=member.name, kind=Kind.FILE, data=data, executable=member.executable)
