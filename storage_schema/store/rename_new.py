"""Rename that never replaces: how a folder without hard links still gets an exclusive create."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def rename_new(source: str, target: str) -> None:
    """Rename `source` to `target`, atomically and only if `target` is absent (renameat2(2), Linux).

    Raises:
        FileExistsError: `target` is there.
        OSError: anything else; ENOSYS, EINVAL and ENOTSUP where system or file system cannot do it.
    """
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), source)
    ctypes.set_errno(0)
    if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


def _system_call() -> Callable[..., int] | None:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None  # not Linux, or a C library older than glibc 2.28
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int
    wrapped: Callable[..., int] = call
    return wrapped


_renameat2 = _system_call()
