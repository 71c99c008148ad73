"""The board as this worker sees it: which specs may be open, and which of them it has already looked at."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterator

from storage_schema.errors import DamagedRecord
from storage_schema.keys import BOARD, SpecId, log_key
from storage_schema.records import Board, Entry, Finish, OpenSpec
from storage_schema.store import Blob, Store, Unchanged
from workers.world import World


class BoardReader:
    """Keeps the newest board. The threads of a worker share it; one of them reads at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._reading = False
        self._version: str | None = None
        self._board: Board | None = None
        self._changed_at = world.clock.monotonic()
        self._read_at: float | None = None
        self._dropped: set[tuple[SpecId, int]] = set()
        self._finish_seen: int | None = None
        self._told = ""

    @property
    def paused(self) -> bool:
        """Whether the study is paused: claim nothing."""
        return self._board is not None and self._board.paused

    @property
    def budget(self) -> bool:
        """Whether the study has a budget: who does not say what its machine costs claims nothing."""
        return self._board is not None and self._board.budget

    def refresh(self, max_age_s: float = 0.0) -> None:
        """Read the board if it has changed; no request where it was read within `max_age_s` or is being read now."""
        now = self._world.clock.monotonic()
        with self._lock:
            if self._reading or (max_age_s and self._read_at is not None and now - self._read_at < max_age_s):
                return
            self._reading = True
        try:
            found = self._found()
            if not isinstance(found, Unchanged):
                self._take(found)
            self._read_at = now
        finally:
            self._reading = False

    def _found(self) -> Blob | Unchanged | None:
        try:
            return self._world.store.get(BOARD, unless=self._version)
        except DamagedRecord as error:  # in a folder: a link, a FIFO, or something of any size in its place
            self._tell(error)
            return None

    def pick(self, here: Collection[int], rng: random.Random) -> OpenSpec | None:
        """Take a candidate out: at random within the best priority, one of the trials in `here` before others.

        The same line is not picked again, by any slot, until :meth:`put_back`.
        """
        with self._lock:
            lines = list(self._lines())
            if not lines:
                return None
            best = max(line.priority for line in lines)
            among = [line for line in lines if line.priority == best]
            among = [line for line in among if line.trial in here] or among
            line = among[rng.randrange(len(among))]
            self._dropped.add((line.spec, line.next_link))
            return line

    def put_back(self, line: OpenSpec) -> None:
        """Let a line be picked again: the store was away, and what became of it is not known."""
        with self._lock:
            self._dropped.discard((line.spec, line.next_link))

    def claimable(self) -> bool:
        """Tell whether there is a line that was not looked at yet, and the study is not paused."""
        with self._lock:
            return not self.paused and any(True for _ in self._lines())

    @property
    def missing(self) -> bool:
        """Whether the store was asked and has no board: no coordinator has ever worked on this study."""
        return self._read_at is not None and self._version is None

    def unchanged_s(self) -> float:
        """Return for how long no new version of the board was seen, seconds."""
        return self._world.clock.monotonic() - self._changed_at

    def finished(self) -> bool:
        """Tell whether the study has ended: the board says so, and the log bears it out.

        A board older than the log's head proves nothing: a user may have opened the study again.
        """
        entry = None if self._board is None else self._board.finished
        if self._board is None or entry is None:
            return False
        if self._finish_seen != entry and _holds_finish(self._world.store, entry):
            self._finish_seen = entry
        return self._finish_seen == entry and not self._behind()

    def resting(self) -> bool:
        """Tell whether the study is paused, as far as anybody knows: the log says nothing newer than the board."""
        return self.paused and not self._behind()

    def _tell(self, error: DamagedRecord) -> None:
        if str(error) != self._told:
            self._told = str(error)
            self._world.say(f"the board is not readable and is not used: {error}")

    def _behind(self) -> bool:
        """Tell whether the log has gone on since the board was written."""
        head = -1 if self._board is None else self._board.head
        return isinstance(self._world.store.get(log_key(head + 1)), Blob)

    def _lines(self) -> Iterator[OpenSpec]:
        """Yield what was not picked yet. All of it: the fewer lines are drawn from, the more workers collide."""
        for line in self._board.open if self._board else ():
            if (line.spec, line.next_link) not in self._dropped:
                yield line

    def _take(self, blob: Blob | None) -> None:
        board = None
        if blob is not None:
            try:
                board = Board.from_bytes(blob.data)
            except DamagedRecord as error:
                self._tell(error)
        with self._lock:
            version = None if blob is None else blob.version
            if version != self._version:
                self._changed_at = self._world.clock.monotonic()
            self._version, self._board = version, board
            listed = {(line.spec, line.next_link) for line in board.open} if board else set()
            self._dropped &= listed


def _holds_finish(store: Store, entry: int) -> bool:
    found = store.get(log_key(entry))
    if not isinstance(found, Blob):
        return False
    return any(isinstance(decision, Finish) for decision in Entry.from_bytes(found.data, entry).decisions)
