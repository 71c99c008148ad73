"""Snapshots: packs of log entries, so that a cold start reads a few objects instead of the whole log.

A pack holds the exact bytes of a run of entries: a cache, a pure function of the log, deletable at any time.
With n = (entry + 1) / 64 and p the largest power of two that divides n, the pack that ends with `entry` covers the
last 64 p entries. So every prefix of the log is covered by at most log2(n) packs and 63 single entries, and each
entry is packed again at most log2(n) times (PROTOCOL.md, section 5.13).
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from storage_schema.errors import DamagedRecord
from storage_schema.keys import SNAPSHOTS, log_key, parse_snapshot_key, snapshot_key
from storage_schema.parquet_bounds import THRIFT_LIMITS, check_unpacked
from storage_schema.records import Entry
from storage_schema.store import Blob, Store

PACK_ENTRIES = 64
MAX_PACK_BYTES = 1024 * 1024 * 1024

_SCHEMA = pa.schema([pa.field("entry", pa.int64()), pa.field("data", pa.binary())])


def pack_start(end: int) -> int | None:
    """Return the first entry of the pack that ends with `end`, or None where no pack ends there."""
    count, rest = divmod(end + 1, PACK_ENTRIES)
    if rest or not count:
        return None
    return end + 1 - PACK_ENTRIES * (count & -count)


def encode_pack(first: int, entries: list[bytes]) -> bytes:
    """Return the Parquet bytes of a pack whose entries are numbered from `first`."""
    table = pa.table({"entry": range(first, first + len(entries)), "data": entries}, schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_page_checksum=True)
    return bytes(sink.getvalue())


def decode_pack(data: bytes, end: int) -> list[bytes]:
    """Return the entries' bytes of the pack that ends with `end`, in order.

    Raises:
        DamagedRecord: not a pack of exactly those entries.
    """
    key, first = snapshot_key(end), pack_start(end)
    try:
        check_unpacked(
            data, max_rows=PACK_ENTRIES if first is None else end + 1 - first, max_bytes=MAX_PACK_BYTES
        )
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True, **THRIFT_LIMITS)
        if first is None or file.schema_arrow != _SCHEMA:
            raise DamagedRecord(key, "not a pack of log entries")
        table = file.read(use_threads=False)
    except MemoryError:  # one of Arrow's errors is both, and this one says nothing of the pack
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise DamagedRecord(key, f"not Parquet: {str(error)[:200]}") from None
    numbers, entries = table.column("entry").to_pylist(), table.column("data")
    if numbers != list(range(first, end + 1)) or entries.null_count:
        raise DamagedRecord(key, f"expected the entries {first} to {end}")
    return [bytes(item) for item in entries.to_pylist()]


class Packs:
    """The packs that a store holds, as last listed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_start: dict[int, list[int]] = {}
        self.newest = -1
        """The greatest entry that a listed or written pack ends with; -1 without packs."""

    def look(self) -> None:
        """List the packs."""
        for stat in self._store.list(SNAPSHOTS):
            end = parse_snapshot_key(stat.key)
            if end is not None:
                self._know(end)

    def entries(self, first: int, until: int | None = None) -> Iterator[tuple[Entry, bytes]]:
        """Yield the entries from `first` on, with their bytes, as far as packs reach (and not past `until`).

        It ends before an entry that cannot be read: the log itself may be sound where its copy is not.
        """
        for run in self.runs(first, until):
            for data in run:
                try:
                    entry = Entry.from_bytes(data, first)
                except DamagedRecord:
                    return
                yield entry, data
                first += 1

    def runs(self, first: int, until: int | None = None) -> Iterator[list[bytes]]:
        """Yield runs of entries' bytes from `first` on, pack by pack, as they are."""
        while (run := self._longest(first, until)) is not None:
            yield run
            first += len(run)

    def write(self, end: int, entries: list[bytes]) -> None:
        """Store the pack that ends with `end`."""
        start = pack_start(end)
        assert start is not None
        self._store.replace(snapshot_key(end), encode_pack(start, entries))
        self._know(end)

    def _know(self, end: int) -> None:
        start = pack_start(end)
        if start is not None:
            self._by_start.setdefault(start, []).append(end)
            self.newest = max(self.newest, end)

    def _longest(self, first: int, until: int | None) -> list[bytes] | None:
        for end in sorted(self._by_start.get(first, ()), reverse=True):
            if until is not None and end > until:
                continue
            try:
                blob = self._store.get(snapshot_key(end))
                if isinstance(blob, Blob) and self._is_of_this_log(run := decode_pack(blob.data, end), end):
                    return run
            except DamagedRecord:
                continue  # a cache: a smaller pack, or the entries themselves, say the same
        return None

    def _is_of_this_log(self, run: list[bytes], end: int) -> bool:
        """Tell whether a pack's last entry, with its author's token, is the one that stands in the log.

        A pack may be left over from another study in this place, and would be taken for this one's history.
        """
        blob = self._store.get(log_key(end))
        return isinstance(blob, Blob) and blob.data == run[-1]
