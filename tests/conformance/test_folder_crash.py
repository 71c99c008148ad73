"""A power cut at any moment leaves a folder that is right: tried on every state that the disk may be in then."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage_schema.errors import DamagedRecord
from storage_schema.keys import BOARD, LinkId, SpecId, link_key, log_key, parse_link_key, parse_log_key
from storage_schema.records import Board
from storage_schema.store import Blob, Created, open_store
from storage_schema.store.local import LocalStore
from storage_schema.store.local_folders import sync_folder
from tests.conformance.disk import FILE as FILE_NODE
from tests.conformance.disk import FOLDER, Disk, State, Watched, lay_out

LOG = [log_key(0), log_key(1)]
LINKS = [link_key(LinkId(SpecId(0, 0), number)) for number in (1, 2)]
FILE = "checkpoints/00000000/x/files/model"
MANIFEST = "checkpoints/00000000/x/manifest.json"


def board(beat: int) -> bytes:
    return Board(head=0, open=(), beat=beat).to_bytes()


@dataclass
class Cut:
    """What running processes had been told when the power went, and a state of the disk then."""

    answered: dict[str, bytes]
    sent: dict[str, set[bytes]]
    relied_on: dict[str, str]
    """Key to the key that its author had read before."""
    state: State


@dataclass
class World:
    """A study's folder on a watched disk."""

    top: Path
    patch: pytest.MonkeyPatch
    meanwhile: Callable[[World, str], None] | None = None
    """Called behind each call of the first process: another one's turn."""
    cuts: dict[object, Cut] = field(default_factory=dict)
    answered: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, set[bytes]] = field(default_factory=dict)
    relied_on: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.top.mkdir()
        self.disk = Disk(str(self.top.resolve()))
        self._within = False
        Watched(self.disk, self._after, self.patch)
        self.store = LocalStore((self.top.resolve() / "study").as_uri())
        self.other = LocalStore(self.store.url)

    def create(self, key: str, data: bytes, store: LocalStore | None = None) -> None:
        self.sent.setdefault(key, set()).add(data)
        if (store or self.store).create(key, data) is Created.CREATED:
            self.answered[key] = data
        self.cut()

    def replace(self, key: str, data: bytes) -> None:
        self.sent.setdefault(key, set()).add(data)
        self.store.replace(key, data)
        self.cut()

    def delete(self, key: str) -> None:
        self.answered.pop(key, None)
        self.store.delete(key)
        self.cut()

    def cut(self) -> None:
        """Note everything that a power cut may leave behind now."""
        for state in self.disk.states():
            told = tuple(sorted(self.answered.items())), tuple(sorted(self.relied_on.items()))
            name = (frozenset(state.items()), told, frozenset(self.sent))
            if name not in self.cuts:
                sent = {key: set(found) for key, found in self.sent.items()}
                self.cuts[name] = Cut(dict(self.answered), sent, dict(self.relied_on), state)

    def done(self) -> list[Cut]:
        """Stop watching, and return all cuts; every call must have been seen."""
        self.patch.undo()
        there = {
            path.relative_to(self.top).as_posix(): path.read_bytes() if path.is_file() else None
            for path in self.top.rglob("*")
        }
        assert there == self.disk.seen(), "a call went by unseen"
        return list(self.cuts.values())

    def _after(self, call: str) -> None:
        self.cut()
        if self.meanwhile is not None and not self._within:
            self._within = True
            self.meanwhile(self, call)
            self._within = False


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    # /dev/shm: thousands of states are laid out, and none of them is ever flushed
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        numbers = itertools.count()

        def world(meanwhile: Callable[[World, str], None] | None = None) -> World:
            return World(Path(folder) / f"run-{next(numbers)}", monkeypatch, meanwhile)

        yield world


def judge(cuts: Iterable[Cut], top: Path) -> int:
    """Recover from every cut; return how many there were."""
    count = 0
    for cut in cuts:
        folder = top.with_name("recovered")
        lay_out(cut.state, folder)
        try:
            recovered(cut, open_store((folder / "study").as_uri()))
        finally:
            shutil.rmtree(folder)
        count += 1
    return count


def recovered(cut: Cut, store: LocalStore) -> None:
    for key, data in cut.answered.items():
        found = store.get(key)
        assert isinstance(found, Blob), f"{key} was answered, and is gone"
        assert found.data == data, f"{key} was answered, and is torn"
    keys = {stat.key for stat in store.list("")}
    assert keys <= cut.sent.keys(), "a leftover is in sight"
    for key in keys:
        if key.startswith("hints/"):
            whole_or_refused(cut, store, key)
        else:
            assert store.get(key).data in cut.sent[key], f"{key} is torn"
    for key, before in cut.relied_on.items():
        assert key not in keys or before in keys, (
            f"{key} is there, and {before}, which its author had read, is not"
        )
    for key in cut.sent:
        if parse_log_key(key) is not None or parse_link_key(key) is not None:
            still_exclusive(store, key)


def whole_or_refused(cut: Cut, store: LocalStore, key: str) -> None:
    data = store.get(key).data
    try:
        Board.from_bytes(data)
        assert data in cut.sent[key]
    except DamagedRecord:
        store.replace(key, board(99))
        assert Board.from_bytes(store.get(key).data).beat == 99


def still_exclusive(store: LocalStore, key: str) -> None:
    before = store.get(key)
    answers = [store.create(key, b"after the cut 1"), store.create(key, b"after the cut 2")]
    won = [] if before is not None else [Created.CREATED]
    assert answers == [*won, *[Created.EXISTS] * (2 - len(won))]
    assert store.get(key).data == (before.data if before is not None else b"after the cut 1")


def a_study(world: World) -> None:
    world.create("study.json", b"the study")
    world.create(LOG[0], b"entry 0")
    world.create(LOG[0], b"another's entry 0")
    world.create(LINKS[0], b"a claim")
    world.create(LINKS[1], b"done")
    world.create(LOG[1], b"entry 1")


def boards(world: World) -> None:
    world.create(LOG[0], b"entry 0")
    for beat in range(3):
        world.replace(BOARD, board(beat))
    world.create(LOG[1], b"entry 1")


def a_checkpoint_that_goes(world: World) -> None:
    world.create(FILE, b"weights")
    world.create(MANIFEST, b"the manifest")
    world.delete(MANIFEST)
    world.delete(FILE)
    world.create(FILE, b"other weights")


SEQUENCES = (a_study, boards, a_checkpoint_that_goes)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_every_state_recovers(sequence: Callable[[World], None], worlds: Callable[..., World]) -> None:
    world = worlds()
    sequence(world)
    count = judge(world.done(), world.top)
    print(f"{sequence.__name__}: {count} states")
    assert count > 30


def test_every_state_recovers_where_there_are_no_hard_links(worlds: Callable[..., World]) -> None:
    world = worlds()

    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    world.patch.setattr(os, "link", no_link)
    a_study(world)
    assert judge(world.done(), world.top) > 30


STEPS: dict[str, Callable[[World], None]] = {
    "create": lambda world: world.create(LOG[0], b"entry 0"),
    "create again": lambda world: world.create(LOG[0], b"another's"),
    "create beside": lambda world: world.create(LOG[1], b"entry 1"),
    "create elsewhere": lambda world: world.create(LINKS[0], b"a claim"),
    "replace": lambda world: world.replace(BOARD, board(1)),
    "replace again": lambda world: world.replace(BOARD, board(2)),
    "checkpoint": lambda world: world.create(FILE, b"weights"),
    "delete": lambda world: world.delete(FILE),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("length", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_every_state_of_every_short_sequence_recovers(length: int, worlds: Callable[..., World]) -> None:
    cuts: dict[object, Cut] = {}
    for steps in itertools.product(STEPS.values(), repeat=length):
        world = worlds()
        for step in steps:
            step(world)
        world.done()
        cuts |= {_without_random_names(name): cut for name, cut in world.cuts.items()}
        shutil.rmtree(world.top)
    print(f"{len(STEPS) ** length} sequences, {judge(cuts.values(), world.top)} states")


def _without_random_names(name: object) -> object:
    state, told, sent = name  # type: ignore[misc]
    return (
        frozenset((path[:-21] if path.endswith(".tmp") else path, data) for path, data in state),
        told,
        sent,
    )


def test_nobody_builds_on_what_a_power_cut_may_take_away(worlds: Callable[..., World]) -> None:
    """A reader sees a name before its author has flushed the folder: it flushes it itself before it goes on."""

    def claim_as_soon_as_it_is_there(world: World, call: str) -> None:
        if LINKS[0] not in world.sent and isinstance(world.other.get(LOG[0]), Blob):
            world.relied_on[LINKS[0]] = LOG[0]
            world.create(LINKS[0], b"a claim", world.other)

    world = worlds(claim_as_soon_as_it_is_there)
    world.create(LOG[0], b"entry 0")
    assert LINKS[0] in world.answered
    judge(world.done(), world.top)


def no_flush(kind: str) -> Callable[[World, pytest.MonkeyPatch], None]:
    def spoil(world: World, patch: pytest.MonkeyPatch) -> None:
        flush = world.disk.flush
        patch.setattr(world.disk, "flush", lambda node: None if node[0] == kind else flush(node))

    return spoil


def in_place(world: World, patch: pytest.MonkeyPatch) -> None:
    """Open the final name with O_EXCL, write, flush file and folder."""

    def create(key: str, data: bytes) -> Created:
        path = world.top.resolve() / "study" / key
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            for folder in (path.parent, *path.parent.parents):
                if folder.is_relative_to(world.top.resolve()):
                    sync_folder(str(folder))
        if path.exists():
            return Created.EXISTS
        descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        sync_folder(str(path.parent))
        return Created.CREATED

    patch.setattr(world.store, "create", create)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(no_flush(FILE_NODE), "is torn"), (no_flush(FOLDER), "is gone"), (in_place, "is torn")],
    ids=["files are not flushed", "folders are not flushed", "written in place"],
)
def test_a_store_that_flushes_too_little_is_found(
    spoil: Callable[[World, pytest.MonkeyPatch], None], words: str, worlds: Callable[..., World], monkeypatch
) -> None:
    world = worlds()
    with pytest.MonkeyPatch.context() as patch:
        spoil(world, patch)
        world.create(LOG[0], b"entry 0")
        cuts = world.done()
    with pytest.raises(AssertionError, match=words):
        judge(cuts, world.top)
