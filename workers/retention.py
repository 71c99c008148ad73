"""Which checkpoints are deleted: those that nothing unfinished can need (PROTOCOL.md, 5.5, step 4)."""

from __future__ import annotations

from storage_schema.errors import StoreUnavailable
from storage_schema.keys import (
    CheckpointId,
    checkpoint_file_key,
    checkpoint_prefix,
    manifest_key,
    parse_manifest_key,
)
from storage_schema.records import CheckpointRef, Issue, Manifest
from storage_schema.store import Store
from workers.commit import Commits, Committed
from workers.start import Start, read_manifest, spec_checkpoints

KEEP = 2
"""Within an attempt: the newest, and one more in case that one is damaged."""


def forget_older(store: Store, commits: Commits) -> list[Committed]:
    """Delete all but the newest two of a running attempt; return what was deleted."""
    gone = []
    while len(commits.done) > KEEP:
        oldest = commits.done[0]
        _delete(store, oldest.id, oldest.manifest)
        gone.append(commits.done.pop(0))
    return gone


def forget_superseded(
    store: Store,
    issue: Issue,
    start: Start,
    commits: Commits,
    final: CheckpointRef | None,
    *,
    resumed: bool,
    keep_all: bool,
) -> None:
    """Delete what a `done` spec has left behind: all but its `final` checkpoint, and the one that it started from.

    The latter is the final one of the same trial's spec before. It stays where this spec has left none, and with
    `keep_all`: in such a study other trials may start from it at any later time. Whatever cannot be deleted now
    stays: it costs space, nothing else.
    """
    keep = parse_manifest_key(final.key) if final else None
    if keep is None:
        return
    try:
        for committed in commits.done:
            if committed.id != keep:
                _delete(store, committed.id, committed.manifest)
        if resumed:
            for id in spec_checkpoints(store, issue.trial, keep.spec):
                if id != keep:
                    _delete(store, id, None)
        parent = parse_manifest_key(issue.checkpoint.key) if issue.checkpoint else None
        if parent is not None and parent.trial == issue.trial and not keep_all:
            _delete(store, parent, start.manifest if start.checkpoint == issue.checkpoint else None)
    except StoreUnavailable:
        return


def _delete(store: Store, id: CheckpointId, manifest: Manifest | None) -> None:
    """Delete the manifest first: a checkpoint that is half gone is not committed."""
    if manifest is None:
        read = read_manifest(store, manifest_key(id), lambda _: None)
        manifest = read[0] if read else None
    store.delete(manifest_key(id))
    if manifest is not None:
        for file in manifest.files:
            store.delete(checkpoint_file_key(id, file.name))
    else:
        for found in list(store.list(checkpoint_prefix(id))):
            store.delete(found.key)
