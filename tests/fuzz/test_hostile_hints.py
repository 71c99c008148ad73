"""A whole study around fuzz: hints that say anything change nothing, and a damaged record is named and stops all.

The real coordinator ticks and the real worker's parts work, on a folder and in memory.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.cli.group import cli
from hpo_pipe.coordinator.packs import encode_pack
from hpo_pipe.coordinator.tick import Coordinator
from storage_schema.errors import DamagedRecord
from storage_schema.keys import BOARD, CHAIN, LOG, STUDY, LinkId, SpecId, log_key, snapshot_key, worker_key
from storage_schema.records import Entry, Heartbeat, Held, Link, LinkKind, Pause, Resume, Study
from storage_schema.store import Blob, Store, open_store
from tests.fuzz.budget import examples
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.targets import TARGETS
from tests.unit.coordinator.world import HandWorker, World, a_study
from tests.unit.workers.stage import SPEC, FakeTrial, Stage, failed, issue, trains
from workers.trial_process import Ended

_NAMES = count()
SEEDS = st.integers(0, 2**64)


def harmed(name: str, rng: random.Random) -> bytes:
    """Return bad bytes of a record's kind, or some that are good by chance."""
    found = TARGETS[name].samples
    sample = found[rng.randrange(len(found))]
    if TARGETS[name].is_json and rng.randrange(2):
        return mutated_json(sample, rng, checked=True)
    return mutated_bytes(sample, rng, found)


def harmed_heartbeat(worker: str, rng: random.Random) -> bytes:
    """Return a worker's own heartbeat, with other values in it."""
    held = (Held(spec=SpecId(0, 1), attempt=1, trial=1, value=0.5),)
    beat = Heartbeat(
        worker=worker,
        role="worker",
        host="h",
        pid=1,
        beat=1,
        started_at=0.0,
        slots=2,
        holding=held,
        recent=(SPEC,),
    )
    return mutated_json(beat.to_bytes(), rng, checked=True)


def decisions(coordinator: Coordinator) -> list[str]:
    """Return the trials as they were decided."""
    history = coordinator.history
    return [f"{spec}: {state.issue}" for spec, state in history.specs.items()] + [str(history.finished)]


def finished_study(world: World, between: Callable[[], None] = lambda: None) -> Coordinator:
    """Run a study of six trials to its end: one worker by hand, one coordinator; call `between` before each tick."""
    coordinator, worker = world.coordinator(), HandWorker(world, "w-h-1-000001", slots=2)
    worker.beat()
    for _ in range(60):
        between()
        coordinator.tick()
        if coordinator.history.closed:
            return coordinator
        for spec in sorted(coordinator.history.open)[:2]:
            state = coordinator.history.open[spec]
            if worker.claim(spec):
                to = state.issue.to
                worker.done(spec, {to: (state.issue.trial * 7 % 5) / 5 + 1 / to})
        world.clock.sleep(1.0)
    raise AssertionError("the study did not end")


UNDISTURBED = decisions(finished_study(World(f"undisturbed-{next(_NAMES)}")))


@examples(15)
@given(seed=SEEDS)
def test_hints_of_any_bytes_change_no_decision(seed: int) -> None:
    """The board, a coordinator's and strangers' heartbeats, packs, and keys of no meaning."""
    rng, world = random.Random(seed), World(f"hints-{next(_NAMES)}")

    def plant() -> None:
        world.store.replace(BOARD, harmed("board", rng))
        world.store.replace(worker_key(f"c-{rng.randrange(3)}"), harmed("heartbeat", rng))
        world.store.replace(snapshot_key(63), harmed("pack", rng))
        for key in (
            "log/1.json",
            "log/00000000.json.bak",
            "chain/x/y.json",
            "workers/UP.json",
            "report/x",
            "hints/z",
        ):
            world.store.replace(key, rng.randbytes(rng.randrange(50)))

    found = finished_study(world, plant)
    assert decisions(found) == UNDISTURBED


@examples(15)
@given(seed=SEEDS)
def test_heartbeats_of_any_bytes_end_no_tick(seed: int) -> None:
    """A worker's own heartbeat is believed for its slots: more may be issued early, within the study's limits."""
    rng, world = random.Random(seed), World(f"beats-{next(_NAMES)}")

    def plant() -> None:
        for number in range(2, 5):
            name = f"w-h-1-{number:06}"
            world.store.replace(worker_key(name), harmed_heartbeat(name, rng))

    found = finished_study(world, plant)
    assert len(found.history.trials) == 6
    assert found.history.closed


@examples(10)
@given(seed=SEEDS)
def test_packs_of_any_bytes_are_as_good_as_none(seed: int) -> None:
    rng, world = random.Random(seed), World(f"packs-{next(_NAMES)}")
    entries = [
        Entry(
            entry=n, token="t", author="user", facts=None, decisions=(Pause(reason=""), Resume(reason=f"{n}"))
        )
        for n in range(130)
    ]
    for number, entry in enumerate(entries):
        world.store.create(log_key(number), entry.to_bytes())
    good = {
        end: encode_pack(first, [e.to_bytes() for e in entries[first : end + 1]])
        for first, end in ((0, 63), (0, 127))
    }
    for end, data in good.items():
        world.store.replace(snapshot_key(end), mutated_bytes(data, rng, tuple(good.values())))
    forged = [e.to_bytes() for e in entries[:64]]
    forged[rng.randrange(64)] = mutated_json(forged[3], rng, checked=False)
    if rng.randrange(2):
        world.store.replace(snapshot_key(63), encode_pack(0, forged))
    assert world.history().head == 129


@examples(15)
@given(seed=SEEDS, place=st.integers(0, 2))
def test_a_damaged_record_is_named_and_nothing_is_written(seed: int, place: int) -> None:
    """A log entry, a link of an open spec, a segment that the record names: the tick ends with the key."""
    rng, world = random.Random(seed), World(f"damage-{next(_NAMES)}")
    coordinator, worker = world.coordinator(), HandWorker(world, "w-h-1-000001")
    worker.beat()
    coordinator.tick()
    spec = sorted(coordinator.history.open)[0]
    worker.claim(spec)
    worker.done(spec, {1: 0.5})
    key = [
        log_key(0),
        f"chain/{str(spec).replace('-', '/')}.0002.json",
        f"metrics/{str(spec).replace('-', '/')}.0001.000001.parquet",
    ][place]
    before = world.store.get(key)
    assert isinstance(before, Blob)
    bad = mutated_bytes(before.data, rng)
    if bad == before.data or not _is_damage(key, bad):
        return
    world.store.replace(key, bad)
    written = {stat.key: stat.version for stat in world.store.list("") if stat.key.startswith((LOG, CHAIN))}
    with pytest.raises(DamagedRecord) as damaged:
        world.coordinator().tick()
    assert damaged.value.key == key
    assert {
        stat.key: stat.version for stat in world.store.list("") if stat.key.startswith((LOG, CHAIN))
    } == written


def _is_damage(key: str, data: bytes) -> bool:
    """Tell whether bytes cannot be read: harm to a record's check alone leaves a record without one."""
    if key.startswith("metrics/"):
        return True  # it is named by its sha256
    try:
        Entry.from_bytes(data, 0) if key.startswith(LOG) else Link.from_bytes(data, LinkId(SpecId(0, 0), 2))
    except DamagedRecord:
        return True
    return False


@examples(25)
@given(seed=SEEDS)
def test_a_board_of_any_bytes_ends_no_worker(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever it offers is held against the log; once it is good again, the worker works."""
    rng, stage = random.Random(seed), Stage(tmp_path_factory.mktemp("stage"))
    stage.publish(issue())
    for _ in range(6):
        stage.store.inner.replace(BOARD, harmed("board", rng))
        stage.desk.claim(frozenset())
        stage.board.finished()
    if not stage.chain():
        stage.offer(0, 1, 1, trials=[0])
        stage.attempt(trains(3))
    assert [link.kind for link in stage.chain()][:1] == [LinkKind.CLAIM]


@examples(15)
@given(seed=SEEDS)
def test_checkpoints_of_any_bytes_are_passed_over(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A manifest, a file or a segment of an earlier attempt is harmed: the spec is trained all the same."""
    rng, stage = random.Random(seed), Stage(tmp_path_factory.mktemp("stage"))
    stage.publish(issue(to=3))

    _attempt_that_leaves(stage)
    keys = stage.keys("checkpoints/") + stage.keys("metrics/")
    for key in keys:
        if rng.randrange(2):
            stage.store.inner.replace(key, mutated_bytes(stage.read(key), rng) or b"x")
    stage.reoffer(issue(to=3))
    stage.attempt(trains(3, save=True))
    done = stage.chain()[-1]
    assert done.kind is LinkKind.DONE
    assert [point for point in stage.curve(done)["loss"] if point[0] == 3] == [(3, 1 / 3)]


def _attempt_that_leaves(stage: Stage) -> None:
    """Train two of three epochs, with checkpoints, and fail."""

    def script(trial: FakeTrial) -> Iterator[Ended | None]:
        for epoch in (1, 2):
            trial.report(epoch, loss=1 / epoch)
            trial.save(epoch, state=str(epoch), extra="x" * 100)
            yield None
            yield None
        yield failed(1)

    stage.attempt(script)
    assert stage.chain()[-1].kind is LinkKind.FAIL


# what stands in a folder

PLANTS: dict[str, Callable[[Path], None]] = {
    "link to nowhere": lambda path: path.symlink_to("/nonexistent/x"),
    "link to a file": lambda path: path.symlink_to("/etc/passwd"),
    "link to a folder": lambda path: path.symlink_to("/etc"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "fifo": lambda path: os.mkfifo(path),
    "endless": lambda path: _sparse(path),
}


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**42)


def folder_world(folder: Path) -> World:
    world = World(f"folder-{next(_NAMES)}", a_study())
    world.store = open_store(str(folder / "study"))
    world.store.create(STUDY, world.study.to_bytes())
    return world


@pytest.mark.parametrize("plant", PLANTS)
def test_hints_that_are_no_plain_files_change_no_decision(plant: str, tmp_path: Path) -> None:
    world = folder_world(tmp_path)
    for folder in ("hints", "workers", "snapshots", "chain"):
        (tmp_path / "study" / folder).mkdir()
    for key in (BOARD, worker_key("w-h-1-000009"), snapshot_key(63), "log/00000099.json", "chain/junk"):
        path = tmp_path / "study" / key
        path.parent.mkdir(exist_ok=True)
        PLANTS[plant](path)
    found = finished_study(world)
    assert decisions(found) == UNDISTURBED


@pytest.mark.parametrize("plant", PLANTS)
def test_a_board_that_is_no_plain_file_ends_no_worker(plant: str, tmp_path: Path) -> None:
    store: Store = open_store(str(tmp_path / "study"))
    stage = Stage(tmp_path / "scratch", store=_Folder(store))
    stage.publish(issue())
    board = tmp_path / "study" / BOARD
    board.unlink()
    PLANTS[plant](board)
    assert stage.desk.claim(frozenset()) is None
    assert not stage.board.finished()
    stage.offer(0, 1, 1, trials=[0])
    assert stage.desk.claim(frozenset()) is not None


@pytest.mark.parametrize("plant", [*PLANTS, "folder"])
@pytest.mark.parametrize("key", [STUDY, log_key(0), "chain/00000000/000.0001.json"])
def test_a_record_that_is_no_plain_file_is_named(plant: str, key: str, tmp_path: Path) -> None:
    """By the key; a folder in its place is neither there nor absent."""
    world = folder_world(tmp_path)
    coordinator = world.coordinator()
    coordinator.tick()
    path = tmp_path / "study" / key
    path.parent.mkdir(exist_ok=True, parents=True)
    if key != "chain/00000000/000.0001.json":
        path.unlink()
    (Path.mkdir if plant == "folder" else PLANTS[plant])(path)
    store = open_store(str(tmp_path / "study"))
    if plant == "folder":
        with pytest.raises(DamagedRecord) as damaged:
            store.create(key, b"{}")
    else:
        with pytest.raises(DamagedRecord) as damaged:
            store.get(key)
    assert damaged.value.key == key


class _Folder:
    """What the stage asks of its store, over a real one."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@examples(15)
@given(seed=SEEDS, place=st.integers(0, 2))
def test_the_command_line_names_a_damaged_record(
    seed: int, place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Exit code 65, one line on stderr, and nothing written."""
    rng, world = random.Random(seed), folder_world(tmp_path_factory.mktemp("cli"))
    coordinator, worker = world.coordinator(), HandWorker(world, "w-h-1-000001")
    worker.beat()
    coordinator.tick()
    worker.claim(SpecId(0, 0))
    key = [STUDY, log_key(0), "chain/00000000/000.0001.json"][place]
    found = world.store.get(key)
    assert isinstance(found, Blob)
    bad = mutated_bytes(found.data, rng)
    world.store.replace(key, bad)
    try:
        [
            Study.from_bytes,
            lambda d: Entry.from_bytes(d, 0),
            lambda d: Link.from_bytes(d, LinkId(SpecId(0, 0), 1)),
        ][place](bad)
        return  # still good, or good without its check
    except DamagedRecord:
        pass
    before = {stat.key: stat.version for stat in world.store.list("")}
    done = CliRunner().invoke(cli, ["why", world.store.url, "0"])
    assert done.exit_code == 65, done.output
    assert done.stderr.startswith(f"hpo-pipe: error: {key}: ")
    assert done.stdout == ""
    assert {stat.key: stat.version for stat in world.store.list("")} == before
