"""The auditor's book of data: segments, and checkpoints with their manifests, as they landed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from storage_schema.codec import sha256
from storage_schema.keys import CheckpointId, checkpoint_file_key, manifest_key
from storage_schema.metric_log import read_segment
from storage_schema.records import CheckpointRef, Issue, Manifest, SegmentRef

Points = dict[str, dict[int, float | None]]
"""Metric to resource to value; None where the value is not finite."""


class DataBook:
    """Digests of everything under ``metrics/`` and ``checkpoints/``."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self._sha256: dict[str, str] = {}
        self._rows: dict[str, list[tuple[int, str, float]]] = {}
        self.manifests: dict[str, tuple[CheckpointId, Manifest]] = {}
        """All that ever landed, also what was deleted again."""

    def written(self, key: str, data: bytes) -> None:
        """Take in an object."""
        self._sha256[key] = sha256(data)
        if key.startswith("metrics/"):
            table = read_segment(data, key).to_pydict()
            columns = (table["resource"], table["metric"], table["value"])
            self._rows[key] = list(zip(*columns, strict=True))

    def deleted(self, key: str) -> None:
        """Take note that an object is gone."""
        self._sha256.pop(key, None)

    def committed(self, id: CheckpointId, data: bytes, issue: Issue | None) -> None:
        """Check a manifest as it lands: all that it names is there."""
        key = manifest_key(id)
        manifest = Manifest.from_bytes(data, key)
        if self.manifests.get(key, (id, None))[1] == manifest:
            return  # a create that comes late, after what it made was deleted: a manifest without its files
        self.manifests[key] = (id, manifest)
        if issue is None or issue.trial != id.trial or manifest.resource != id.resource:
            self._fail(f"{key} is of no issued spec, or says resource {manifest.resource}")
        for file in manifest.files:
            if self._sha256.get(checkpoint_file_key(id, file.name)) != file.sha256:
                self._fail(f"{key} was committed before its file {file.name}")
        for ref in manifest.segments:
            if self._sha256.get(ref.key) != ref.sha256:
                self._fail(f"{key} names a segment that is not there: {ref.key}")

    def there(self, ref: SegmentRef | CheckpointRef) -> bool:
        """Tell whether a named object is there with its sha256."""
        return self._sha256.get(ref.key) == ref.sha256

    def whole(self, ref: CheckpointRef) -> bool:
        """Tell whether a checkpoint is there, its files too."""
        if not self.there(ref):
            return False
        id, manifest = self.manifests[ref.key]
        return ref.resource == manifest.resource and all(
            self._sha256.get(checkpoint_file_key(id, file.name)) == file.sha256 for file in manifest.files
        )

    def restored(self, trial: int | None, resource: int, folder: Path) -> None:
        """Check that what a trial starts from is a checkpoint as it was committed, all of its files and bytes."""
        here = {str(p.relative_to(folder)): sha256(p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
        found = (
            manifest
            for id, manifest in self.manifests.values()
            if (id.trial, id.resource) == (trial, resource)
        )
        if here not in [{file.name: file.sha256 for file in manifest.files} for manifest in found]:
            self._fail(f"trial {trial} starts at {resource} from {sorted(here)}, which no manifest names so")

    def points(self, segments: tuple[SegmentRef, ...], start: int) -> Points:
        """Return the curves of a spec from its segments, by the rules of PROTOCOL.md, 7.3."""
        found: Points = {}
        for ref in segments:
            for resource, metric, value in self._rows.get(ref.key, ()):
                late = ref.until is not None and resource > ref.until
                if not late and (start == 0 or resource > start):
                    found.setdefault(metric, {})[resource] = value if math.isfinite(value) else None
        return found
