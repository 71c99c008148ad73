"""Every class of stored objects, damaged in every way: refused by name, passed over, or without effect."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo_pipe.coordinator.log import read_study
from hpo_pipe.coordinator.tick import Coordinator
from storage_schema.chain import read_chain
from storage_schema.errors import DamagedRecord
from storage_schema.keys import (
    BOARD,
    CHAIN,
    CHECKPOINTS,
    LOG,
    SNAPSHOTS,
    STUDY,
    SpecId,
    parse_link_key,
)
from storage_schema.records import Board
from storage_schema.store import Store, open_store
from tests.damage.spoiling import judged
from tests.damage.studies import (
    Objects,
    finished_study,
    history,
    in_memory,
    objects,
    resumable,
    running_study,
    unsettled,
    with_snapshots,
)
from tests.unit.coordinator.world import VirtualClock, never
from tests.unit.workers.stage import MovedClock
from workers.assembly import read_study as workers_read_study
from workers.board import BoardReader
from workers.checkpoint_cache import CheckpointCache
from workers.restore import restore
from workers.start import Start, starts
from workers.world import World

SMALL = 1500
"""Records up to so many bytes are damaged in every place."""


@pytest.fixture(scope="module")
def finished_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return finished_study(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def running_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return running_study(tmp_path_factory.mktemp("running"))


@pytest.fixture(scope="module")
def stored(finished_url: str, running_url: str) -> dict[str, Objects]:
    return {"finished": objects(open_store(finished_url)), "running": objects(open_store(running_url))}


@pytest.fixture(scope="module", autouse=True)
def figures():
    found: dict[str, Counter[str]] = {}
    yield found
    for name, counts in found.items():
        print(f"\n{name}: {sum(counts.values())} damages, {dict(counts)}", end="")


BOTH = pytest.mark.parametrize("which", ["finished", "running"])


def under(stored: Objects, prefix: str, most: int = 4) -> list[str]:
    """Return the smallest and the largest object below `prefix`, and some others."""
    keys = sorted((key for key in stored if key.startswith(prefix)), key=lambda key: (len(stored[key]), key))
    assert keys, prefix
    ends, rest = {keys[0], keys[-1]}, keys[1:-1]
    return sorted(ends | set(random.Random(1).sample(rest, min(len(rest), most - len(ends)))))


def picture(store: Store, _: str = "") -> object:
    """Return all that the log says."""
    found = history(store)
    specs = [(spec, state.issue, state.settled) for spec, state in found.specs.items()]
    return found.head, found.paused, found.finished, found.limits, found.now, found.queue, specs


@BOTH
def test_the_study(which: str, stored: dict[str, Objects], figures) -> None:
    store = in_memory(stored[which])
    world = World(store=store, clock=MovedClock())
    readers: list[Callable[[Store, str], object]] = [
        lambda store, _: read_study(store),
        lambda *_: workers_read_study(world, None),
    ]
    for read in readers:
        counts = judged(store, [STUDY], read, most=SMALL)
        assert counts["refused by name"] > 1000
    figures[f"study.json, {which}"] = counts


@BOTH
def test_the_log(which: str, stored: dict[str, Objects], figures) -> None:
    keys = under(stored[which], LOG)
    counts = judged(in_memory(stored[which]), keys, picture, most=SMALL // 2)
    assert counts["refused by name"] > 1000
    figures[f"log, {which}"] = counts


@BOTH
def test_chains(which: str, stored: dict[str, Objects], figures) -> None:
    def chain(store: Store, key: str) -> object:
        link = parse_link_key(key)
        assert link is not None
        return read_chain(store, link.spec)

    counts = judged(in_memory(stored[which]), under(stored[which], CHAIN), chain, most=SMALL)
    assert counts["refused by name"] > 1000
    figures[f"chains, {which}"] = counts


def tick(store: Store) -> object:
    """Let a new coordinator look at a copy; return what it learned from the chains."""
    copy = in_memory(objects(store))
    study = read_study(copy)
    coordinator = Coordinator(copy, study, clock=VirtualClock(), wait=never, name="c-new")
    coordinator.tick()
    found = coordinator.history
    return [(spec, state.settled) for spec, state in found.specs.items() if state.settled is not None]


def test_links_and_segments_that_a_coordinator_takes_up(stored: dict[str, Objects], figures) -> None:
    store = in_memory(stored["running"])
    chains = [key for spec in unsettled(store) for key in links_of(stored["running"], spec)]
    segments = [ref.key for spec in unsettled(store) for ref in read_chain(store, spec)[-1].segments]
    assert len(tick(store)) > len([s for s in history(store).specs.values() if s.settled])  # type: ignore[arg-type]
    for name, keys in (("links", chains), ("segments", segments)):
        counts = judged(store, keys[-2:], lambda store, _: tick(store), most=60)
        assert counts["harmless"] <= len(keys) * len("check"), (
            "only the name of a check may be hit without effect"
        )
        figures[f"{name}, taken up by a tick"] = counts


def links_of(stored: Objects, spec: SpecId) -> list[str]:
    return [key for key in stored if (link := parse_link_key(key)) is not None and link.spec == spec]


def test_hints_are_passed_over(stored: dict[str, Objects], figures) -> None:
    store = in_memory(stored["running"])

    def ticks(store: Store, _: str) -> object:
        settled = tick(store)
        copy = in_memory(objects(store))
        Coordinator(copy, read_study(copy), clock=VirtualClock(), wait=never, name="c-new").tick()
        Board.from_bytes(objects(copy)[BOARD])
        return settled

    counts = judged(store, [BOARD, *under(stored["running"], "workers/", 2)], ticks, most=30, refused=False)
    figures["hints"] = counts

    def lines(store: Store, _: str) -> object:
        board = BoardReader(World(store=store, say=lambda _: None))
        board.refresh()
        found = [line for _ in range(3000) if (line := board.pick((), random.Random(1))) is not None]
        return sorted((line.spec, line.next_link, line.priority, line.trial) for line in found)

    counts = judged(
        store, [BOARD], lines, most=SMALL, refused=False, alike=lambda found, right: found in ([], right)
    )
    figures["the board, read by a worker"] = counts


def test_snapshots_are_passed_over(stored: dict[str, Objects], figures) -> None:
    packed = with_snapshots(stored["finished"])
    store = in_memory(packed)
    counts = judged(store, under(packed, SNAPSHOTS), picture, most=100, refused=False)
    figures["snapshots"] = counts


def test_a_damaged_entry_that_a_snapshot_holds_harms_nobody(stored: dict[str, Objects]) -> None:
    packed = with_snapshots(stored["finished"])
    store = in_memory(packed)
    right = picture(store)
    store.replace(f"{LOG}00000003.json", b"{")
    assert picture(store) == right
    for key in [key for key in packed if key.startswith(SNAPSHOTS)]:
        store.delete(key)
    with pytest.raises(DamagedRecord, match=r"log/00000003\.json"):
        picture(store)


def test_checkpoints_are_passed_over_for_older_ones(
    stored: dict[str, Objects], tmp_path: Path, figures
) -> None:
    store = in_memory(stored["running"])
    spec = resumable(store)[0]
    study, issue, chain = read_study(store), history(store).specs[spec].issue, read_chain(store, spec)
    right = {start.resource: files for start, files in restored(store, study, spec, issue, chain, tmp_path)}

    def trained(store: Store, _: str) -> object:
        start, files = next(restored(store, study, spec, issue, chain, tmp_path))
        assert files == right[start.resource], "restored from damaged files"
        return start.resource

    own = [key for key in stored["running"] if key.startswith(CHECKPOINTS) and f"-{spec}." in key]
    counts = judged(
        store,
        own,
        trained,
        most=150,
        refused=False,
        alike=lambda found, right: found <= right,  # type: ignore[operator]
    )
    figures["checkpoints"] = counts


def restored(store, study, spec, issue, chain, folder: Path):
    """Yield each place to start from that can be restored, best first, and the files restored."""
    world = World(store=store, clock=MovedClock(), say=lambda _: None)
    cache, into = CheckpointCache(folder / "cache"), folder / "restored"
    patience = world.patience(lambda: False, 60.0)
    for start in starts(store, study, spec, issue, chain, world.say):
        if start == Start():
            yield start, {}
        elif restore(world, cache, start, into, patience):
            yield start, {path.name: path.read_bytes() for path in into.rglob("*") if path.is_file()}


def link_to_come(stored: Objects, url: str) -> str:
    return links_of(stored, unsettled(open_store(url))[0])[-1]


def segment_to_come(stored: Objects, url: str) -> str:
    store = open_store(url)
    return read_chain(store, unsettled(store)[0])[-1].segments[0].key


@pytest.mark.parametrize(
    ("which", "command", "damaged"),
    [
        ("finished", ("status",), STUDY),
        ("finished", ("status",), f"{LOG}00000000.json"),
        ("finished", ("trials",), f"{LOG}00000001.json"),
        ("finished", ("replay",), f"{LOG}00000000.json"),
        ("finished", ("worker", "--drain"), STUDY),
        ("running", ("coordinator", "--once"), STUDY),
        ("running", ("coordinator", "--once"), f"{LOG}00000000.json"),
        ("running", ("coordinator", "--once"), link_to_come),
        ("running", ("coordinator", "--once"), segment_to_come),
    ],
)
def test_the_command_line_names_what_is_damaged_and_ends_with_65(
    which: str, command, damaged, stored: dict[str, Objects], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{which}_url")
    key = damaged if isinstance(damaged, str) else damaged(stored[which], url)
    ended = after_damage(url, key, tmp_path, command)
    assert ended.returncode == 65, ended.stderr
    assert key in ended.stderr


@pytest.mark.parametrize("prefix", ["hints/", "workers/", CHECKPOINTS])
def test_the_command_line_goes_on_without_a_hint_or_a_checkpoint(
    prefix: str, running_url: str, stored: dict[str, Objects], tmp_path: Path
) -> None:
    key = under(stored["running"], prefix)[0]
    ended = after_damage(running_url, key, tmp_path, ("coordinator", "--once"))
    assert ended.returncode == 0, ended.stderr
    Board.from_bytes((tmp_path / "study" / BOARD).read_bytes())


def after_damage(
    url: str, key: str, folder: Path, command: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """Run a command on a copy of a study in which one bit of one object is flipped."""
    shutil.copytree(url.removeprefix("file://"), folder / "study")
    path = folder / "study" / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    line = [sys.executable, "-m", "hpo_pipe", command[0], str(folder / "study"), *command[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
