"""Snapshots are packs of log entries: any subset of them gives the same log back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.coordinator.packs import PACK_ENTRIES, Packs, decode_pack, encode_pack, pack_start
from storage_schema.errors import DamagedRecord
from storage_schema.keys import log_key, snapshot_key
from storage_schema.records import Entry
from storage_schema.store import Store, open_store


def _entries(first: int, end: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(first, end + 1)]


@given(st.integers(1, 2000))
def test_a_pack_covers_a_power_of_two_of_blocks_and_starts_on_such_a_boundary(blocks: int) -> None:
    end = blocks * PACK_ENTRIES - 1
    start = pack_start(end)
    assert start is not None
    size = (end + 1 - start) // PACK_ENTRIES
    assert size & (size - 1) == 0
    assert start % (size * PACK_ENTRIES) == 0


@pytest.mark.parametrize("end", [-1, 0, 62, 64, 100])
def test_no_pack_ends_between_the_boundaries(end: int) -> None:
    assert pack_start(end) is None


def _log(store: Store, count: int) -> None:
    for number in range(count):
        store.create(log_key(number), b"entry %d" % number)


def _full(blocks: int, name: str) -> Packs:
    store = open_store(f"memory://packs-{name}")
    packs = Packs(store)
    _log(store, blocks * PACK_ENTRIES)
    for block in range(1, blocks + 1):
        end = block * PACK_ENTRIES - 1
        start = pack_start(end)
        assert start is not None
        packs.write(end, _entries(start, end))
    return packs


def test_a_prefix_is_read_in_few_packs() -> None:
    packs = _full(11, "few")
    runs = list(packs.runs(0))
    assert [entry for run in runs for entry in run] == _entries(0, 11 * PACK_ENTRIES - 1)
    assert [len(run) // PACK_ENTRIES for run in runs] == [8, 2, 1]


def test_runs_stop_before_a_bound() -> None:
    packs = _full(8, "bound")
    runs = list(packs.runs(0, until=7 * PACK_ENTRIES - 1))
    assert [len(run) // PACK_ENTRIES for run in runs] == [4, 2, 1]


def test_a_damaged_pack_is_ignored_in_favour_of_smaller_ones() -> None:
    store = open_store("memory://packs-damaged")
    packs = Packs(store)
    _log(store, 4 * PACK_ENTRIES)
    for block in range(1, 5):
        end = block * PACK_ENTRIES - 1
        packs.write(end, _entries(pack_start(end) or 0, end))
    store.replace(snapshot_key(4 * PACK_ENTRIES - 1), b"PAR1 but not really")
    again = Packs(store)
    again.look()
    runs = list(again.runs(0))
    assert [len(run) // PACK_ENTRIES for run in runs] == [2, 1]


def test_entries_end_before_one_that_cannot_be_read() -> None:
    """The log itself may be sound where its copy is not: readers go on with it, one entry at a time."""
    store = open_store("memory://packs-entry")
    packs = Packs(store)
    records = [
        Entry(entry=n, token="t", author="user", facts=None, decisions=()).to_bytes() for n in range(64)
    ]
    packs.write(63, [*records[:40], records[40].replace(b'"t"', b'"u"'), *records[41:]])
    store.create(log_key(63), records[63])
    found = list(packs.entries(0))
    assert [entry.entry for entry, _ in found] == list(range(40))
    assert [data for _, data in found] == records[:40]


def test_a_pack_of_another_study_is_ignored() -> None:
    """It was left behind in this place: its entries are not in this log, or not these."""
    packs = _full(2, "others")
    store = open_store("memory://packs-others")
    assert len(list(packs.runs(0))) == 1
    store.replace(log_key(2 * PACK_ENTRIES - 1), b"entry of this study")
    assert [len(run) for run in packs.runs(0)] == [PACK_ENTRIES]
    store.delete(log_key(PACK_ENTRIES - 1))
    assert list(packs.runs(0)) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", encode_pack(1, _entries(1, 64)), encode_pack(0, _entries(0, 62))],
    ids=["empty", "torn", "shifted", "short"],
)
def test_what_is_not_the_pack_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DamagedRecord, match=r"snapshots/00000063\.parquet"):
        decode_pack(data, 63)
