"""Removing a folder that a trial could write to, however deep it is and whatever lies in it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Remove `folder` as far as that is possible; never follows a link out of it, never raises.

    Folders are moved up to the top until there are none: :func:`shutil.rmtree` recurses with one open descriptor per
    level, so that a tree a thousand folders deep would cost the whole worker its descriptors, or its stack.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        while inner := _folders(str(folder)):
            if not sum(_emptied(path, str(folder)) for path in inner):
                break  # a mount, or not ours
        _emptied(str(folder), str(folder))


def _folders(path: str) -> list[str]:
    _open_up(path)
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _emptied(path: str, top: str) -> bool:
    """Delete the files in `path`, move its folders up to `top`, and remove it; tell whether it is gone."""
    try:
        _open_up(path)
        with os.scandir(path) as found:
            entries = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in found]
        for inner, is_folder in entries:
            with contextlib.suppress(OSError):
                if is_folder:
                    _open_up(inner)
                    os.rename(inner, f"{top}/.{secrets.token_hex(8)}")  # noqa: PTH104
                else:
                    os.unlink(inner)  # noqa: PTH108
        os.rmdir(path)  # noqa: PTH106
    except OSError:
        return False
    return True


def _open_up(path: str) -> None:
    """Take a folder's permissions back: without them nothing in it can be looked up or moved."""
    with contextlib.suppress(OSError):
        os.chmod(path, 0o700)  # noqa: PTH101
