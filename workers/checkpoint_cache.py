"""Checkpoints that lie on this machine already, so that a promoted trial need not be fetched again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from storage_schema.keys import CheckpointId, parse_manifest_key
from workers.remove_tree import remove_tree

MAX_CHECKPOINTS = 32
MAX_BYTES = 16 * 1024**3
"""Of disk."""


class CheckpointCache:
    """Folders of committed checkpoints, by the keys of their manifests; the oldest are let go."""

    def __init__(
        self, folder: Path, max_checkpoints: int = MAX_CHECKPOINTS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._folder = folder
        self._max_checkpoints = max_checkpoints
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[CheckpointId, int]] = OrderedDict()
        self._folder.mkdir(parents=True, exist_ok=True)

    def trials(self) -> frozenset[int]:
        """Return the trials that have a checkpoint here."""
        with self._lock:
            return frozenset(id.trial for id, _ in self._kept.values())

    def keep(self, manifest_key: str, folder: Path, size: int) -> None:
        """Take a folder over; of each trial only the newest checkpoint is kept."""
        id = parse_manifest_key(manifest_key)
        assert id is not None
        with self._lock:
            older = [key for key, (other, _) in self._kept.items() if other.trial == id.trial]
            gone = [*older, *self._too_many(size, len(older))]
            for key in gone:
                self._kept.pop(key, None)
            self._kept[manifest_key] = (id, size)
        for key in gone:
            remove_tree(self._place(key))
        place = self._place(manifest_key)
        remove_tree(place)
        folder.rename(place)

    def take(self, manifest_key: str, into: Path) -> bool:
        """Move a folder out to `into`; tell whether it was here. Its files may have been touched: verify them."""
        with self._lock:
            if self._kept.pop(manifest_key, None) is None:
                return False
        try:
            self._place(manifest_key).rename(into)
        except OSError:
            return False
        return True

    def _too_many(self, size: int, going: int) -> list[str]:
        keys = list(self._kept)
        total = sum(kept for _, kept in self._kept.values()) + size
        gone: list[str] = []
        while keys and (len(keys) - going >= self._max_checkpoints or total > self._max_bytes):
            key = keys.pop(0)
            total -= self._kept[key][1]
            gone.append(key)
        return gone

    def _place(self, manifest_key: str) -> Path:
        return self._folder / manifest_key.removesuffix("/manifest.json").replace("/", "-")
