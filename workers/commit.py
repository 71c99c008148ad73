"""Committing checkpoints: finished folders are found, files written, the manifest created last (PROTOCOL.md, 5.5)."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storage_schema.codec import sha256
from storage_schema.errors import ProtocolViolation, UserError
from storage_schema.keys import CheckpointId, LinkId, checkpoint_file_key, manifest_key
from storage_schema.records import CheckpointFile, CheckpointRef, Manifest, SegmentRef
from storage_schema.store import Store, create_settled
from workers.checkpoint_files import file_bytes, file_names, opened_folder
from workers.remove_tree import remove_tree
from workers.segments import at_once

MAX_TAKEN = 1_000
"""Names that one look takes in; the others wait for the next one."""
MAX_TOLD = 100
"""Complaints of one attempt that the user is told of."""
MAX_WAITING = 2
"""Checkpoints that wait for the store; a third one makes the oldest superfluous."""

_FINISHED = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(slots=True, kw_only=True)
class Finished:
    """A checkpoint that the trial has finished and that is not committed yet."""

    resource: int
    folder: Path
    found_at: float
    names: tuple[str, ...]
    written: list[CheckpointFile] = field(default_factory=list)
    manifest: Manifest | None = None
    """Fixed when it is first sent: an uncertain create is repeated with the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A checkpoint of this attempt, with its manifest, and where its files still lie on this machine."""

    id: CheckpointId
    ref: CheckpointRef
    manifest: Manifest
    folder: Path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.manifest.files)


class Commits:
    """The checkpoints of one attempt.

    Args:
        store: where they go.
        claim: whose they are.
        trial: the trial's number.
        checkpoint_dir: where the trial leaves finished folders.
        taken: where they are moved to, so that the trial can use the name again.
        counts: whether a checkpoint at a resource is of use to this spec.
        complain: takes what is wrong with a folder, for the user.
    """

    def __init__(
        self,
        store: Store,
        claim: LinkId,
        *,
        trial: int,
        checkpoint_dir: Path,
        taken: Path,
        counts: Callable[[int], bool],
        complain: Callable[[str], None],
    ) -> None:
        self._store = store
        self._claim = claim
        self._trial = trial
        self._checkpoint_dir = checkpoint_dir
        self._taken = taken
        self._counts = counts
        self._complain = complain
        self.complaint = ""
        """The newest of them: it goes into the record, where the worker's own log may never be read."""
        self._told: set[str] = set()
        self._number = 0
        self.waiting: list[Finished] = []
        self.done: list[Committed] = []
        """Committed ones that were not deleted again, oldest first."""

    def scan(self, now: float) -> bool:
        """Take over what the trial has finished since the last call; tell whether a checkpoint was among it."""
        before = self._number
        try:
            # A link, of the folder or of the attempt's own one above it, would lead to what is not ours to take.
            own = self._checkpoint_dir.parent
            with opened_folder(own.parent, own.name, self._checkpoint_dir.name) as descriptor:
                for name in sorted(_finished_names(descriptor), key=lambda n: (len(n), n)):
                    self._take(name, descriptor, now)
        except OSError as error:
            if os.path.lexists(self._checkpoint_dir):
                self._refuse(f"the folder for checkpoints is not looked at: {error}")
        while len(self.waiting) > MAX_WAITING:
            remove_tree(self.waiting.pop(0).folder)
        return self._number > before

    def write_files(self, finished: Finished, between: Callable[[], None]) -> None:
        """Write the files that are not written yet; `between` is called before each.

        Raises:
            StoreUnavailable: call again later; what was written counts.
        """
        for name in finished.names[len(finished.written) :]:
            between()
            data = file_bytes(finished.folder, name)
            key = checkpoint_file_key(self._id(finished), name)
            if not create_settled(self._store, key, data, wait=at_once).mine:
                raise ProtocolViolation(f"{key}: somebody else wrote a file of this worker's checkpoint")
            finished.written.append(CheckpointFile(name=name, size=len(data), sha256=sha256(data)))

    def write_manifest(self, finished: Finished, segments: tuple[SegmentRef, ...]) -> Committed:
        """Create the manifest: the checkpoint is committed, and waits no longer. May raise StoreUnavailable."""
        id = self._id(finished)
        if finished.manifest is None:
            finished.manifest = Manifest(
                resource=finished.resource, files=tuple(finished.written), segments=segments
            )
        data = finished.manifest.to_bytes()
        if not create_settled(self._store, manifest_key(id), data, wait=at_once).mine:
            raise ProtocolViolation(
                f"{manifest_key(id)}: somebody else wrote a manifest of this worker's attempt"
            )
        ref = CheckpointRef(key=manifest_key(id), sha256=sha256(data), resource=finished.resource)
        committed = Committed(id=id, ref=ref, manifest=finished.manifest, folder=finished.folder)
        self.waiting.remove(finished)
        self.done.append(committed)
        return committed

    def discard(self, finished: Finished) -> None:
        """Let a checkpoint go that cannot be committed."""
        self.waiting.remove(finished)
        remove_tree(finished.folder)

    def _take(self, name: str, descriptor: int, now: float) -> None:
        self._number += 1
        folder = self._taken / str(self._number)
        try:
            self._taken.mkdir(exist_ok=True)
            os.rename(name, folder, src_dir_fd=descriptor)
            finished = self._checked(name, folder, now)
        except (OSError, UserError) as error:
            self._refuse(f"checkpoint {name[:80]!r} is not used: {error}")
            finished = None
        if finished is not None:
            self.waiting.append(finished)
        elif folder.is_dir() and not folder.is_symlink():
            remove_tree(folder)
        else:
            with contextlib.suppress(OSError):
                folder.unlink(missing_ok=True)

    def _refuse(self, complaint: str) -> None:
        """Say it once: what cannot be taken away is found again in each look."""
        self.complaint = complaint
        if complaint not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(complaint)
            self._complain(complaint)

    def _checked(self, name: str, folder: Path, now: float) -> Finished | None:
        if not _FINISHED.fullmatch(name):
            raise UserError("its name is not a number of units, like 3")
        resource = int(name)
        if not self._counts(resource):
            raise UserError(f"{resource} is outside what this piece of training covers")
        if any(known.id.resource == resource for known in self.done):
            return None
        for again in [w for w in self.waiting if w.resource == resource]:
            if again.written:
                return None
            self.discard(again)
        names = file_names(folder)
        return Finished(resource=resource, folder=folder, found_at=now, names=names)

    def _id(self, finished: Finished) -> CheckpointId:
        return CheckpointId(self._trial, finished.resource, self._claim.spec, self._claim.link)


def _finished_names(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        names = (entry.name for entry in entries if not entry.name.startswith("."))
        return [name for _, name in zip(range(MAX_TAKEN), names, strict=False)]
