"""Planted faults of workers (PROTOCOL.md, 5.3 to 5.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import workers.attempt
import workers.lease
import workers.restore
import workers.retention
import workers.start
from storage_schema.chain import read_chain
from storage_schema.codec import sha256
from storage_schema.errors import StoreUnavailable
from storage_schema.keys import (
    CheckpointId,
    LinkId,
    SegmentId,
    SpecId,
    checkpoint_file_key,
    parse_manifest_key,
    segment_key,
)
from storage_schema.records import CheckpointFile, CheckpointRef, Issue, Link, LinkKind, OpenSpec, SegmentRef
from storage_schema.store import Blob, Store, Wait, create_settled
from tests.simulation.patching import replaced
from workers.attempt import Attempt
from workers.board import BoardReader
from workers.checkpoint_files import file_bytes
from workers.claim import Desk
from workers.commit import Commits, Committed, Finished
from workers.lease import Holding, Lost
from workers.milestones import Milestones
from workers.segments import SegmentLog, at_once
from workers.start import Start
from workers.trial_process import Report
from workers.watch import Watch

# claiming


@contextmanager
def place_on_trust() -> Iterator[None]:
    """The claim goes where the board says; the chain is not read."""

    def chain(self: Desk, line: OpenSpec, *, look_first: bool) -> list[Link]:
        if line.next_link == 1:
            return []
        return [Link(kind=LinkKind.FENCE, id=LinkId(line.spec, line.next_link - 1), token="", author="c-x")]

    with replaced(Desk, _chain=chain):
        yield


@contextmanager
def open_on_trust() -> Iterator[None]:
    """The chain is read for its length; that it is open, the board has said."""

    def chain(self: Desk, line: OpenSpec, *, look_first: bool) -> list[Link]:
        return read_chain(self._world.store, line.spec)

    with replaced(Desk, _chain=chain):
        yield


@contextmanager
def failures_forgotten() -> Iterator[None]:
    """Each claim counts failures from nothing."""
    build = Desk._link

    def link(self: Desk, spec: SpecId, last: Link | None, start: Start) -> Link:
        return replace(build(self, spec, last, start), failures=0)

    with replaced(Desk, _link=link):
        yield


@contextmanager
def finish_on_trust() -> Iterator[None]:
    """The board says that the study has ended; the log is not asked."""

    def finished(self: BoardReader) -> bool:
        return self._board is not None and self._board.finished is not None

    with replaced(BoardReader, finished=finished):
        yield


# holding


@contextmanager
def no_self_fencing() -> Iterator[None]:
    """A holder that cannot renew its lease goes on."""
    with replaced(Holding, expired=lambda self: False):
        yield


@contextmanager
def fence_blind() -> Iterator[None]:
    """A holder does not read its next link, and does not mind how long it was silent."""

    def look(self: Holding) -> None:
        self.poked = self.unsure = False

    with replaced(Holding, look=look):
        yield


@contextmanager
def one_name_for_ever() -> Iterator[None]:
    """A worker that has given everything up goes on under its old id."""
    name = workers.lease.worker_id

    def worker_id(machine: str, pid: int, token: str) -> str:
        return name(machine, pid, "0" * 6)

    with replaced(workers.lease, worker_id=worker_id):
        yield


@contextmanager
def first_attempt_for_ever() -> Iterator[None]:
    """Segments and checkpoints lie under attempt 1, whichever it is."""

    def next_key(self: SegmentLog) -> str:
        self._written += 1
        return segment_key(SegmentId(self._claim.spec, 1, self._written))

    def id(self: Commits, finished: Finished) -> CheckpointId:
        return CheckpointId(self._trial, finished.resource, self._claim.spec, 1)

    with replaced(SegmentLog, _next_key=next_key), replaced(Commits, _id=id):
        yield


# checkpoints


@contextmanager
def manifest_first() -> Iterator[None]:
    """The manifest is created before the files that it names."""
    create = Commits.write_manifest

    def write_files(self: Commits, finished: Finished, between: object) -> None:
        found = [(name, file_bytes(finished.folder, name)) for name in finished.names]
        finished.written = [CheckpointFile(name=n, size=len(d), sha256=sha256(d)) for n, d in found]

    def write_manifest(self: Commits, finished: Finished, segments: tuple[SegmentRef, ...]) -> Committed:
        committed = create(self, finished, segments)
        for file in finished.written:
            data = file_bytes(finished.folder, file.name)
            create_settled(self._store, checkpoint_file_key(committed.id, file.name), data, wait=at_once)
        return committed

    with replaced(Commits, write_files=write_files, write_manifest=write_manifest):
        yield


@contextmanager
def checkpoint_before_metrics() -> Iterator[None]:
    """A checkpoint is committed while the rows that lead up to it still wait."""
    keep_up = Watch._keep_up

    def early(self: Watch, now: float) -> None:
        for finished in [f for f in self._commits.waiting if self._ready(f, now)]:
            with suppress(StoreUnavailable):
                self._holding.look()
                self._commit(finished)
        keep_up(self, now)

    with replaced(Watch, _keep_up=early):
        yield


@contextmanager
def newest_is_deleted() -> Iterator[None]:
    """Of a running attempt no checkpoint is kept."""
    with replaced(workers.retention, KEEP=0):
        yield


@contextmanager
def final_is_deleted() -> Iterator[None]:
    """A spec that is done leaves no checkpoint behind."""
    forget = workers.attempt.forget_superseded

    def forget_all(
        store: Store,
        issue: Issue,
        start: Start,
        commits: Commits,
        final: CheckpointRef | None,
        *,
        resumed: bool,
        keep_all: bool,
    ) -> None:
        forget(store, issue, start, commits, final, resumed=resumed, keep_all=keep_all)
        if final is not None:
            _delete(store, final)

    with replaced(workers.attempt, forget_superseded=forget_all):
        yield


@contextmanager
def parent_is_deleted() -> Iterator[None]:
    """The checkpoint that a spec starts from is deleted once its files are here."""
    open_log = Attempt._segment_log

    def segment_log(self: Attempt, start: Start) -> SegmentLog:
        if self._claimed.issue.checkpoint is not None:
            _delete(self._bench.world.store, self._claimed.issue.checkpoint)
        return open_log(self, start)

    with replaced(Attempt, _segment_log=segment_log):
        yield


def _delete(store: Store, ref: CheckpointRef) -> None:
    id = parse_manifest_key(ref.key)
    assert id is not None
    with suppress(StoreUnavailable):
        workers.retention._delete(store, id, None)


@contextmanager
def inherited_whole() -> Iterator[None]:
    """Segments are inherited to their end, past the checkpoint that they lead up to."""
    with replaced(workers.start, _until=lambda segment, resource: segment):
        yield


@contextmanager
def files_unverified() -> Iterator[None]:
    """A checkpoint's files are taken as they come."""

    def fetch(store: Store, id: CheckpointId, file: CheckpointFile, into: Path) -> str:
        found = store.get(checkpoint_file_key(id, file.name))
        if not isinstance(found, Blob):
            return f"{file.name} is missing"
        path = into / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.data)
        return ""

    with replaced(workers.restore, _fetch=fetch):
        yield


# closing


@contextmanager
def done_behind_the_fence() -> Iterator[None]:
    """A holder that finds its place taken writes its result one place on."""
    create = Attempt._create

    def insist(self: Attempt, link: Link) -> None:
        try:
            create(self, link)
        except Lost:
            if self._claimed.holding.lost or link.kind is not LinkKind.DONE:
                raise  # it had looked before
            behind = replace(link, id=replace(link.id, link=link.id.link + 1))
            store = self._bench.world.store
            if not create_settled(store, behind.key, behind.to_bytes(), wait=self._patience).mine:
                raise

    with replaced(Attempt, _create=insist):
        yield


@contextmanager
def done_first() -> Iterator[None]:
    """The last segments are written behind the link that names them."""
    close = Attempt._close

    def closed(self: Attempt, start: Start, log: SegmentLog, commits: Commits, run: Any) -> bool:
        later: list[tuple[str, bytes]] = []

        def put_off(_wait: Wait) -> None:
            assert log._pending is not None
            key, data = log._pending
            log._own.append((SegmentRef(key=key, sha256=sha256(data)), data))
            log._pending = None
            later.append((key, data))

        log._send = put_off  # type: ignore[method-assign]
        done = close(self, start, log, commits, run)
        for key, data in later:
            create_settled(self._bench.world.store, key, data, wait=self._patience)
        return done

    with replaced(Attempt, _close=closed):
        yield


@contextmanager
def milestones_from_nought() -> Iterator[None]:
    """Epochs are counted from 0: at a milestone stands what was reported one epoch later."""
    see = Milestones.see

    def told(self: Milestones, reports: Iterable[Report]) -> bool:
        return see(self, [replace(r, resource=r.resource - 1) for r in reports])

    with replaced(Milestones, see=told):
        yield


@contextmanager
def always_one_more_try() -> Iterator[None]:
    """A failure always has a retry left."""
    with _links(lambda link: replace(link, retries_left=max(1, link.retries_left)), LinkKind.FAIL):
        yield


@contextmanager
def interruption_is_a_failure() -> Iterator[None]:
    """What is given back counts as failed."""
    with _links(lambda link: replace(link, failures=link.failures + 1), LinkKind.RELEASE):
        yield


@contextmanager
def _links(change: Any, kind: LinkKind) -> Iterator[None]:
    """Let workers write other links of a kind."""
    create = Attempt._create

    def changed(self: Attempt, link: Link) -> None:
        create(self, change(link) if link.kind is kind else link)

    with replaced(Attempt, _create=changed):
        yield
