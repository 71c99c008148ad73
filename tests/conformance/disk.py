"""What a disk may hold after a power cut: every state that the calls made so far allow, in the manner of ALICE.

(Pillai et al., "All file systems are not created equal", OSDI 2014.) POSIX promises only what was flushed: the bytes of
a file by fsync of the file, the names in a folder by fsync of the folder. All else may be there or not, each name and
each file by itself, in any combination.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage_schema.store import local

FILE, FOLDER = "file", "folder"
Node = tuple[str, int]
"""FILE or FOLDER, and the number of the inode."""
State = Mapping[str, bytes | None]
"""Path to the bytes of a file, or None for a folder."""
NUMBERS = itertools.count(1)


@dataclass
class _File:
    data: bytes = b""
    flushed: bool = True


@dataclass
class Disk:
    """Follows the calls below one folder, which is there and on disk from the beginning."""

    top: str
    now: dict[tuple[int, str], Node | None] = field(default_factory=dict)
    """(folder, name) to what it names, as running processes see it."""
    may_be: dict[tuple[int, str], list[Node | None]] = field(default_factory=dict)
    """The same after a power cut: any of these, the newest last."""
    files: dict[int, _File] = field(default_factory=dict)

    def node(self, path: str) -> Node | None:
        """Return what running processes see at `path`."""
        node: Node | None = (FOLDER, 0)
        for name in os.path.relpath(path, self.top).split("/"):
            if name != ".":
                node = self.now.get((node[1], name)) if node else None
        return node

    def name(self, path: str, node: Node | None) -> None:
        """Let `path` name `node` from now on; not flushed."""
        folder, _, name = path.rpartition("/")
        parent = self.node(folder)
        assert parent is not None and parent[0] == FOLDER, path
        place = (parent[1], name)
        self.may_be.setdefault(place, [self.now.get(place)]).append(node)
        self.now[place] = node

    def write(self, number: int, data: bytes) -> None:
        file = self.files[number]
        file.data, file.flushed = file.data + data, False

    def flush(self, node: Node) -> None:
        if node[0] == FILE:
            self.files[node[1]].flushed = True
        for place in [place for place in self.may_be if node == (FOLDER, place[0])]:
            del self.may_be[place]

    def states(self) -> Iterator[State]:
        """Yield everything that may be there after a power cut at this moment."""
        torn = [number for number, file in self.files.items() if not file.flushed]
        places = list(self.may_be)
        for chosen in itertools.product(*(dict.fromkeys(self.may_be[place]) for place in places)):
            names = {**self.now, **dict(zip(places, chosen, strict=True))}
            reached = {node[1] for node in names.values() if node and node[0] == FILE}
            there = [number for number in torn if number in reached]
            for variants in itertools.product(*(_torn(self.files[number].data) for number in there)):
                data = {number: file.data for number, file in self.files.items()}
                data.update(zip(there, variants, strict=True))
                yield dict(_tree(names, data, 0, ""))

    def seen(self) -> State:
        """Return what running processes see."""
        return dict(_tree(self.now, {number: file.data for number, file in self.files.items()}, 0, ""))


def _torn(data: bytes) -> dict[bytes, None]:
    """Return what unflushed bytes may have become: there, not there, in part, or only their length."""
    return dict.fromkeys((data, b"", data[: len(data) // 2], bytes(len(data))))


def _tree(
    names: Mapping[tuple[int, str], Node | None], data: Mapping[int, bytes], folder: int, path: str
) -> Iterator[tuple[str, bytes | None]]:
    for (parent, name), node in names.items():
        if parent == folder and node is not None:
            below = f"{path}/{name}" if path else name
            if node[0] == FILE:
                yield below, data[node[1]]
            else:
                yield below, None
                yield from _tree(names, data, node[1], below)


def lay_out(state: State, folder: Path) -> None:
    """Make `folder` hold `state`."""
    folder.mkdir()
    for path in sorted(state):
        data = state[path]
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)


class Watched:
    """Lets `disk` follow what this process does below its top folder, and calls `after` behind each call."""

    def __init__(self, disk: Disk, after: Callable[[str], None], patch: pytest.MonkeyPatch) -> None:
        self._disk, self._after = disk, after
        self._descriptors: dict[int, Node] = {}
        for name in ("open", "close", "write", "fsync", "mkdir", "rmdir", "link", "unlink", "replace"):
            patch.setattr(os, name, self._watch(name, getattr(os, name)))
        patch.setattr(local, "rename_new", self._watch("rename_new", local.rename_new))

    def _watch(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def watched(*arguments: object, **options: object) -> object:
            answer = call(*arguments, **options)
            paths_as_text = [os.fspath(a) if isinstance(a, Path) else a for a in arguments]
            if getattr(self, f"_{name}")(answer, *paths_as_text) is not False:
                self._after(name)
            return answer

        return watched

    def _inside(self, path: object) -> bool:
        return isinstance(path, str) and path.startswith(self._disk.top + "/")

    def _open(self, descriptor: int, path: str, flags: int, *_: object) -> bool:
        if not self._inside(path) and path != self._disk.top:
            return False
        if flags & os.O_CREAT:
            node = (FILE, next(NUMBERS))
            self._disk.files[node[1]] = _File()
            self._disk.name(path, node)
        found = self._disk.node(path)
        assert found is not None, path
        assert (found[0] == FOLDER) == stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self._descriptors[descriptor] = found
        return bool(flags & os.O_CREAT)

    def _close(self, _: object, descriptor: int) -> bool:
        self._descriptors.pop(descriptor, None)
        return False

    def _write(self, count: int, descriptor: int, data: memoryview) -> bool:
        node = self._descriptors.get(descriptor)
        if node is None:
            return False
        self._disk.write(node[1], bytes(data[:count]))
        return True

    def _fsync(self, _: object, descriptor: int) -> bool:
        node = self._descriptors.get(descriptor)
        if node is not None:
            self._disk.flush(node)
        return node is not None

    def _mkdir(self, _: object, path: str, *__: object) -> bool:
        if self._inside(path):
            self._disk.name(path, (FOLDER, next(NUMBERS)))
        return self._inside(path)

    def _link(self, _: object, source: str, target: str, **__: object) -> None:
        self._disk.name(target, self._disk.node(source))

    def _unlink(self, _: object, path: str, *__: object) -> bool:
        if self._inside(path):
            self._disk.name(path, None)
        return self._inside(path)

    _rmdir = _unlink

    def _replace(self, _: object, source: str, target: str) -> None:
        # Atomic on most file systems; here the two names may part, which is harder.
        self._disk.name(target, self._disk.node(source))
        self._disk.name(source, None)

    _rename_new = _replace
