"""Every reader of a stranger's bytes, on bytes of all kinds: it takes them, or says what is wrong with which object."""

from __future__ import annotations

import inspect
import pkgutil
import random
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import storage_schema
from storage_schema.errors import DamagedRecord
from storage_schema.keys import LinkId
from storage_schema.records import Entry, Link
from tests.fuzz.budget import FACTOR, examples
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.targets import SPEC, TARGETS, BrokenLaw, Target, check

FOUND = Path(__file__).with_name("found")
"""Inputs that once broke a reader, a folder for each target."""

slowest = pytest.mark.timeout(180 * max(1, FACTOR))


@pytest.mark.parametrize("name", TARGETS)
def test_good_bytes_are_taken(name: str) -> None:
    for sample in TARGETS[name].samples:
        assert check(name, sample)


@pytest.mark.parametrize(
    "path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name[:12]}"
)
def test_what_was_found_once(path: Path) -> None:
    check(path.parent.name, path.read_bytes())


@slowest
@pytest.mark.parametrize("name", TARGETS)
@examples(20)
@given(data=st.binary(max_size=300))
def test_any_bytes(name: str, data: bytes) -> None:
    check(name, data)


@slowest
@pytest.mark.parametrize("name", TARGETS)
@examples(60)
@given(place=st.integers(0, 99), rng=st.randoms(use_true_random=False))
def test_good_bytes_with_small_harm(name: str, place: int, rng: random.Random) -> None:
    found = TARGETS[name].samples
    check(name, mutated_bytes(found[place % len(found)], rng, found))


@slowest
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.is_json])
@examples(100)
@given(place=st.integers(0, 99), seed=st.integers(0, 2**64))
def test_good_json_with_other_values(name: str, place: int, seed: int) -> None:
    target = TARGETS[name]
    sample = target.samples[place % len(target.samples)]
    check(name, mutated_json(sample, random.Random(seed), checked=target.is_record))


# the table holds every reader

NO_READER_OF_BYTES = {
    "storage_schema.chain.read_chain": "reads links, each by Link.from_bytes",
    "storage_schema.chain.read_link": "reads a link by Link.from_bytes",
    "storage_schema.records.checkpoint.CheckpointRef.from_fields": "part of links, entries",
    "storage_schema.records.checkpoint.SegmentRef.from_fields": "part of links, manifests",
    "storage_schema.records.metric.read_metrics": "part of studies",
    "storage_schema.records.program.Program.from_fields": "part of studies",
    "storage_schema.records.study.Limits.from_fields": "part of studies, entries",
    "storage_schema.records.warm_start.WarmStart.from_fields": "part of studies",
    "storage_schema.thrift.read_struct": "what segments and packs are checked by",
}
READS = re.compile(r"(read|parse|decode|load)(_\w+)?|from_\w+|opened")


def readers(package: ModuleType) -> set[str]:
    """Return the qualified names of all functions of a package that are called as readers are."""
    found = set()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.startswith("storage_schema.store."):
            continue  # they read no formats; their answers are tests/conformance's
        members = vars(import_module(module.name)).values()
        functions = [m for m in members if inspect.isfunction(m)]
        for kind in (m for m in members if inspect.isclass(m) and m.__module__ == module.name):
            functions += [getattr(kind, name) for name, m in vars(kind).items() if isinstance(m, classmethod)]
        found |= {
            f"{function.__module__}.{function.__qualname__}"
            for function in functions
            if function.__module__ == module.name and READS.fullmatch(function.__name__)
        }
    return found


def test_no_reader_is_missing_in_the_table() -> None:
    covered = {name for target in TARGETS.values() for name in target.covers}
    known = covered | set(NO_READER_OF_BYTES)
    found = readers(storage_schema)
    assert len(found) > 10
    assert found - known == set(), "put it into tests/fuzz/targets.py"
    assert set(NO_READER_OF_BYTES) <= found
    for name in covered:
        module, _, function = name.rpartition(".")
        if module.rpartition(".")[2][:1].isupper():
            module, _, kind = module.rpartition(".")
            assert hasattr(getattr(import_module(module), kind), function), name
        else:
            assert hasattr(import_module(module), function), name


# the laws can fail

BROKEN = {
    "another error": Target(read=lambda data: data.decode(), samples=()),
    "no name": Target(read=lambda data: Link.from_bytes(data, LinkId(SPEC, 1)), samples=(), names="chain/9"),
    "another value": Target(
        read=lambda data: Entry.from_bytes(data, 43), samples=(), again=lambda entry: entry.to_bytes()[:-1]
    ),
}


@pytest.mark.parametrize("law", BROKEN)
def test_a_reader_that_breaks_a_law_is_found(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "broken", BROKEN[law])
    data = TARGETS["entry"].samples[0] if law == "another value" else b"\xff"
    with pytest.raises((BrokenLaw, UnicodeDecodeError, DamagedRecord)):
        check("broken", data)
