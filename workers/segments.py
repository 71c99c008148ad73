"""The metric log of one attempt: rows are gathered here and written as segments (PROTOCOL.md, 5.4 and 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from storage_schema.codec import sha256
from storage_schema.errors import ProtocolViolation
from storage_schema.keys import LinkId, SegmentId, segment_key
from storage_schema.metric_log import (
    MAX_SEGMENT_BYTES,
    MAX_SEGMENT_ROWS,
    Row,
    merged,
    read_segment,
    table_bytes,
    write_segment,
)
from storage_schema.records import SegmentRef
from storage_schema.store import Store, Wait, create_settled
from storage_schema.waiting import GaveUp
from workers.trial_process import Report

ROWS_PER_SEGMENT = 100_000
MAX_SPOOLED_ROWS = 1_000_000
"""More rows wait in the trial's own file."""
MAX_SEGMENTS_AT_END = 4
MAX_SEGMENTS_BETWEEN = 32
"""Manifests name all segments of an attempt: a long one merges them now and then."""


def at_once(failed: int, reason: str) -> None:
    """Do not wait: the rows stay here, and the same bytes are sent again later."""
    raise GaveUp(f"metrics are kept until the store is back: {reason}")


class SegmentLog:
    """Rows on their way into the store, and the segments that they are in."""

    def __init__(
        self,
        store: Store,
        claim: LinkId,
        *,
        inherited: tuple[SegmentRef, ...],
        objective: str,
        counts: Callable[[int], bool],
        measured: bool,
    ) -> None:
        """Begin; `counts` tells whether a report at a resource can be this spec's result."""
        self._store = store
        self._claim = claim
        self._inherited = inherited
        self._objective = objective
        self._counts = counts
        self._rows: list[Row] = []
        self._pending: tuple[str, bytes] | None = None
        self._own: list[tuple[SegmentRef, bytes]] = []
        self._written = 0
        self._rows_written = 0
        self.metrics: set[str] = set()
        """The names of all metrics reported."""
        self.greatest: int | None = None
        """The greatest resource reported."""
        self.measured = measured
        """Whether the objective was reported where it counts, here or in what was inherited."""
        self.objective_elsewhere: int | None = None
        """The last resource at which it was reported where it does not count."""

    @property
    def waiting(self) -> bool:
        """Whether rows are not in the store yet."""
        return bool(self._rows) or self._pending is not None

    @property
    def full(self) -> bool:
        """Whether no more rows should be taken in before a flush."""
        return len(self._rows) >= MAX_SPOOLED_ROWS

    def add(self, reports: Iterable[Report]) -> float | None:
        """Take in reports; return the last value of the objective among them, if there is one."""
        last: float | None = None
        for report in reports:
            self.greatest = max(report.resource, self.greatest or 0)
            for name, value in report.values.items():
                self._rows.append(Row(report.resource, name, float(value), report.at))
                self.metrics.add(name)
                if name == self._objective:
                    last = float(value)
                    self._see(report.resource)
        return last

    def flush(self, wait: Wait) -> None:
        """Write all rows; raises what `wait` raises (see `create_settled`), and then keeps them."""
        while self.waiting:
            if self._pending is None:
                rows, self._rows = self._rows[:ROWS_PER_SEGMENT], self._rows[ROWS_PER_SEGMENT:]
                self._pending = (self._next_key(), write_segment(rows))
                self._rows_written += len(rows)
            self._send(wait)
        if len(self._own) > MAX_SEGMENTS_BETWEEN:
            self._merge(wait)

    def finish(self, wait: Wait) -> tuple[SegmentRef, ...]:
        """Write all rows, merge what is many, and return the segments that belong to the record."""
        self.flush(wait)
        if len(self._own) > MAX_SEGMENTS_AT_END:
            self._merge(wait)
        return self.refs()

    def refs(self) -> tuple[SegmentRef, ...]:
        """Return the segments so far, inherited ones first."""
        return (*self._inherited, *(ref for ref, _ in self._own))

    def _merge(self, wait: Wait) -> None:
        size = sum(len(data) for _, data in self._own)
        if size > MAX_SEGMENT_BYTES // 2 or self._rows_written > MAX_SEGMENT_ROWS:
            return
        parts = [(ref, read_segment(data, ref.key)) for ref, data in self._own]
        self._pending = (self._next_key(), table_bytes(merged(parts)))
        before = len(self._own)
        self._send(wait)
        del self._own[:before]

    def _send(self, wait: Wait) -> None:
        assert self._pending is not None
        key, data = self._pending
        if not create_settled(self._store, key, data, wait=wait).mine:
            raise ProtocolViolation(f"{key}: somebody else wrote a segment of this worker's attempt")
        self._own.append((SegmentRef(key=key, sha256=sha256(data)), data))
        self._pending = None

    def _next_key(self) -> str:
        self._written += 1
        return segment_key(SegmentId(self._claim.spec, self._claim.link, self._written))

    def _see(self, resource: int) -> None:
        if self._counts(resource):
            self.measured = True
        else:
            self.objective_elsewhere = resource
