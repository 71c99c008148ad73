"""Bringing a checkpoint's files to this machine, each verified against its manifest."""

from __future__ import annotations

from pathlib import Path

from storage_schema.codec import sha256
from storage_schema.errors import DamagedRecord
from storage_schema.keys import CheckpointId, checkpoint_file_key, parse_manifest_key
from storage_schema.records import CheckpointFile
from storage_schema.store import Blob, Store
from storage_schema.waiting import Patience
from workers.checkpoint_cache import CheckpointCache
from workers.checkpoint_files import file_bytes
from workers.remove_tree import remove_tree
from workers.start import Start
from workers.world import World


def restore(world: World, cache: CheckpointCache, start: Start, into: Path, patience: Patience) -> bool:
    """Put the files of a checkpoint into the folder `into`, which is made.

    Returns:
        whether all of them verified; if not, `into` is gone again and the reason was said.

    Raises:
        GaveUp: `patience` ran out. OSError: this machine cannot hold the files.
    """
    assert start.checkpoint is not None
    assert start.manifest is not None
    id = parse_manifest_key(start.checkpoint.key)
    assert id is not None
    if cache.take(start.checkpoint.key, into) and all(_is_here(into, file) for file in start.manifest.files):
        return True
    remove_tree(into)
    into.mkdir(parents=True)
    for file in start.manifest.files:
        problem = patience.through(lambda file=file: _fetch(world.store, id, file, into))  # type: ignore[misc]
        if problem:
            world.say(f"passing over a checkpoint: {problem}")
            remove_tree(into)
            return False
    return True


def _is_here(folder: Path, file: CheckpointFile) -> bool:
    try:
        data = file_bytes(folder, file.name)  # a trial may have left a link or a FIFO in its place
    except OSError:
        return False
    return len(data) == file.size and sha256(data) == file.sha256


def _fetch(store: Store, id: CheckpointId, file: CheckpointFile, into: Path) -> str:
    key = checkpoint_file_key(id, file.name)
    try:
        found = store.get(key)
    except DamagedRecord as error:
        return str(error)
    if not isinstance(found, Blob):
        return f"{key} is missing"
    if len(found.data) != file.size or sha256(found.data) != file.sha256:
        return f"{key} is not what its manifest says"
    path = into / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(found.data)
    return ""
