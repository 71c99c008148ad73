"""The board: which specs are open, so that claiming costs a worker one conditional read."""

from __future__ import annotations

from dataclasses import replace

from hpo_pipe.coordinator.chains import Chains
from storage_schema.errors import DamagedRecord
from storage_schema.history import History
from storage_schema.keys import BOARD
from storage_schema.records import Board, OpenSpec
from storage_schema.store import Blob, Store

MAX_OPEN = 2000


def compose(history: History, chains: Chains) -> Board:
    """Return the board that the log and the chains call for; best rung first, then the oldest spec.

    It says that the study has finished once every spec is settled: workers then end, and with them, where no
    coordinator runs, everybody who would have had the rest taken in.
    """
    open_specs = [
        OpenSpec(
            spec=spec.id,
            next_link=chains[spec.id].next_link,
            priority=spec.issue.rung,
            trial=spec.issue.trial,
        )
        for spec in history.open.values()
        if spec.id in chains and chains[spec.id].is_open and not history.trials[spec.issue.trial].stopped
    ]
    open_specs.sort(key=lambda o: (-o.priority, o.spec))
    return Board(
        head=history.head,
        open=() if history.finished is not None else tuple(open_specs[:MAX_OPEN]),
        paused=history.paused,
        finished=history.finished_entry if history.closed else None,
        budget=history.limits.cost is not None,
    )


class BoardWriter:
    """Keeps the stored board equal to what this coordinator knows, and visibly alive."""

    def __init__(self, store: Store, refresh_s: float, first_beat: int) -> None:
        self._store = store
        self._refresh_s = refresh_s
        self._beat = first_beat
        self._version: str | None = None
        self._written: Board | None = None
        self._written_at = 0.0

    def publish(self, board: Board, now: float) -> None:
        """Write `board` where it differs from the stored one, or that one is about to look stale.

        Args:
            board: what is known.
            now: the coordinator's monotonic clock, seconds.
        """
        fresh = self._written is not None and now - self._written_at < self._refresh_s
        if fresh and self._same(board) and not self._overwritten(board):
            return
        self._beat += 1
        self._store.replace(BOARD, replace(board, beat=self._beat).to_bytes())
        self._written, self._written_at, self._version = board, now, None

    def _same(self, board: Board) -> bool:
        return self._written == board

    def _overwritten(self, board: Board) -> bool:
        """Tell whether another coordinator has put up an older board (it may have slept in between)."""
        try:
            blob = self._store.get(BOARD, unless=self._version)
            if not isinstance(blob, Blob):
                return blob is None
            self._version = blob.version
            stored = Board.from_bytes(blob.data)
        except DamagedRecord:
            return True
        return stored.head < board.head
