"""Reading and appending the study's log. Whoever reads entries 0..n holds the same history."""

from __future__ import annotations

from hpo_pipe.coordinator.packs import PACK_ENTRIES, Packs, pack_start
from storage_schema.errors import DamagedRecord, StudyNotFound
from storage_schema.history import History
from storage_schema.keys import STUDY, log_key
from storage_schema.records import Entry, Study
from storage_schema.store import Blob, Store, Wait, create_settled


def read_study(store: Store) -> Study:
    """Read ``study.json``.

    Raises:
        StudyNotFound: there is none.
        DamagedRecord, NewerFormat: it cannot be read.
    """
    return Study.from_bytes(study_bytes(store))


def study_bytes(store: Store) -> bytes:
    """Return ``study.json`` as it is stored; raises StudyNotFound."""
    blob = store.get(STUDY)
    if not isinstance(blob, Blob):
        raise StudyNotFound(f"no study at {store.url} (looked for {STUDY}); hpo-pipe create makes one")
    return blob.data


class Log:
    """The log of one study, followed from its beginning; `history` is the fold of all that was read."""

    def __init__(self, store: Store, study: Study) -> None:
        self._store = store
        self._packs = Packs(store)
        self._cold = True
        self._unpacked: list[bytes] = []  # entries since the last multiple of 64
        self.history = History(study)

    def follow(self) -> int:
        """Read and fold what is new; return how many entries that was."""
        before = self.history.head
        if self._cold:
            self._packs.look()
            for entry, data in self._packs.entries(self.history.head + 1):
                self._fold(entry, data)
            self._cold = False
        while isinstance(blob := self._store.get(log_key(self.history.head + 1)), Blob):
            self._read_in(blob.data)
        return self.history.head - before

    def append(self, entry: Entry, wait: Wait) -> bool:
        """Create the next entry; fold whatever stands there then. Return whether it is this one.

        Losing is an answer: the caller looks at the new history and decides anew.
        """
        settled = create_settled(self._store, log_key(entry.entry), entry.to_bytes(), wait=wait)
        self._read_in(settled.data)
        return settled.mine

    def pack(self) -> None:
        """Write the newest pack that is due and not there yet."""
        end = (self.history.head + 1) // PACK_ENTRIES * PACK_ENTRIES - 1
        start = pack_start(end)
        if start is None or end <= self._packs.newest:
            return
        entries: list[bytes] = []
        for _, data in self._packs.entries(start, until=end):
            entries.append(data)
        while start + len(entries) <= end:
            entries.append(self._read(start + len(entries)))
        self._packs.write(end, entries)

    def _read(self, number: int) -> bytes:
        place = number - (self.history.head + 1 - len(self._unpacked))
        if place >= 0:
            return self._unpacked[place]
        blob = self._store.get(log_key(number))
        if not isinstance(blob, Blob):
            raise DamagedRecord(log_key(number), "is missing, though a later entry exists")
        return blob.data

    def _read_in(self, data: bytes) -> None:
        self._fold(Entry.from_bytes(data, self.history.head + 1), data)

    def _fold(self, entry: Entry, data: bytes) -> None:
        self.history.fold(entry)
        self._unpacked.append(data)
        if len(self._unpacked) > 2 * PACK_ENTRIES:
            del self._unpacked[:PACK_ENTRIES]
