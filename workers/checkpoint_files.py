"""The files of a checkpoint that a trial left: listed and read without following a link, within bounds.

The trial may still run and change what lies there. So every part of a path is opened from the folder above it, and a
link that takes a file's place after the listing is not read: it could name any file of the user's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage_schema.errors import UserError
from storage_schema.keys import MAX_FILE_NAME, checked_file_name

MAX_FILES = 10_000
MAX_ENTRIES = 20_000
"""Files and folders together."""
MAX_FILE_BYTES = 5 * 1024**3
"""What one S3 PutObject takes."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block the reader


@contextmanager
def opened_folder(folder: Path, *parts: str) -> Iterator[int]:
    """Open `folder`, which is no link, and go down `parts` without following any; yield the descriptor.

    Raises:
        OSError: something on the way is missing, is no folder, or is a link.
    """
    descriptor = os.open(folder, _FOLDER)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def file_names(folder: Path, links: list[str] | None = None) -> tuple[str, ...]:
    """Return the names of all files below a folder, in order, ``/`` between their parts.

    Args:
        folder: which.
        links: gets the names of symbolic links; without it they are refused.

    Raises:
        UserError: what is neither a file nor a folder, a name that a key must not have, too many or too large.
        OSError: a folder that cannot be read.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError("it is not a folder")
    names: list[str] = []
    waiting: list[tuple[str, ...]] = [()]
    seen = 0
    while waiting:
        above = waiting.pop()
        with opened_folder(folder, *above) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES:
                    raise UserError(f"more than {MAX_ENTRIES} files and folders")
                parts = (*above, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(_short_enough(parts))
                elif links is not None and entry.is_symlink():
                    links.append("/".join(parts))
                else:
                    names.append(_plain_file("/".join(parts), entry.stat(follow_symlinks=False)))
                if len(names) > MAX_FILES:
                    raise UserError(f"more than {MAX_FILES} files")
    return tuple(sorted(names))


def file_bytes(folder: Path, name: str) -> bytes:
    """Return the content of one file that :func:`file_names` named.

    Raises:
        OSError: it is gone, is no plain file any more, or has grown too large.
    """
    with opened_file(folder, name) as opened:
        size = os.fstat(opened.fileno()).st_size
        try:
            data = opened.read(min(size, MAX_FILE_BYTES) + 1)
        except MemoryError:
            raise OSError(errno.ENOMEM, f"{size} bytes do not fit into memory", name) from None
        if len(data) > size:
            raise OSError(errno.EFBIG, "it grows while it is read", name)
    return data


def opened_file(folder: Path, name: str) -> BinaryIO:
    """Open one file that :func:`file_names` named.

    Raises:
        OSError: it is gone, or is no plain file any more.
    """
    *above, last = name.split("/")
    with opened_folder(folder, *above) as descriptor:
        file = os.open(last, _FILE, dir_fd=descriptor)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no plain file any more", name)
    return os.fdopen(file, "rb")


def _short_enough(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Bound the depth: what lies deeper than a key may reach is refused before it is walked."""
    if sum(map(len, parts)) + len(parts) > MAX_FILE_NAME:
        raise UserError(f"folders that are nested too deep: {'/'.join(parts)[:60]!r}")
    return parts


def _plain_file(name: str, found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{name[:80]!r} is neither a file nor a folder")
    if found.st_size > MAX_FILE_BYTES:
        raise UserError(f"{name[:80]!r} has {found.st_size} bytes, more than {MAX_FILE_BYTES}")
    return checked_file_name(name)
