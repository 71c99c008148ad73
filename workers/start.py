"""Where a trial starts: the newest checkpoint that can be trusted (PROTOCOL.md, 5.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from storage_schema.codec import sha256
from storage_schema.errors import DamagedRecord
from storage_schema.keys import (
    MAX_RESOURCE,
    CheckpointId,
    SpecId,
    manifest_key,
    parse_manifest_key,
    trial_checkpoints,
)
from storage_schema.metric_log import curves, read_segment
from storage_schema.records import CheckpointRef, Curve, Issue, Link, LinkKind, Manifest, SegmentRef, Study
from storage_schema.store import Blob, Store

MAX_DEATHS = 2
"""A checkpoint that so many attempts died on is passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One place to start from, its manifest verified; its files are not yet."""

    checkpoint: CheckpointRef | None = None
    """None: the beginning."""
    manifest: Manifest | None = None
    own: bool = False
    """An earlier attempt at this spec left it."""
    inherited: tuple[SegmentRef, ...] = ()
    """own: the metric log of this spec up to the checkpoint."""
    measured: bool = False
    """Whether the objective is in the inherited segments."""

    @property
    def resource(self) -> int:
        """Units of training behind it."""
        return self.checkpoint.resource if self.checkpoint else 0


def starts(
    store: Store,
    study: Study,
    spec: SpecId,
    issue: Issue,
    chain: Sequence[Link],
    say: Callable[[str], None],
) -> Iterator[Start]:
    """Yield the places to start from, best first; each is looked up only when it is asked for.

    The last one is always the beginning. May raise StoreUnavailable at any step.
    """
    worn_out = {key for key, deaths in _deaths(chain).items() if deaths >= MAX_DEATHS}
    if any(link.kind is LinkKind.CLAIM for link in chain):
        for id in _own(store, study, spec, issue):
            if manifest_key(id) not in worn_out:
                found = _own_start(store, study, issue, id, say)
                if found is not None:
                    yield found
    if issue.checkpoint is not None and issue.checkpoint.key not in worn_out:
        read = read_manifest(store, issue.checkpoint.key, say)
        if read is not None and read[1] == issue.checkpoint.sha256:
            yield Start(checkpoint=issue.checkpoint, manifest=read[0])
        elif read is not None:
            say(f"passing over a checkpoint: {issue.checkpoint.key} has not the sha256 that the log names")
    yield Start()


def resource_top(study: Study, issue: Issue) -> int:
    """Return the greatest resource that counts in a spec; without a resource every number does."""
    return issue.to if study.resource else MAX_RESOURCE


def read_manifest(store: Store, key: str, say: Callable[[str], None]) -> tuple[Manifest, str] | None:
    """Return a manifest and its sha256, or None (with a word about it) where there is none that can be read."""
    try:
        found = store.get(key)
        if not isinstance(found, Blob):
            say(f"passing over a checkpoint: {key} is missing")
            return None
        return Manifest.from_bytes(found.data, key), sha256(found.data)
    except DamagedRecord as error:
        say(f"passing over a checkpoint: {error}")
        return None


def spec_checkpoints(store: Store, trial: int, spec: SpecId) -> list[CheckpointId]:
    """Return all committed checkpoints of one spec, newest first; costs a listing."""
    found = (parse_manifest_key(stat.key) for stat in store.list(trial_checkpoints(trial)))
    own = [id for id in found if id is not None and id.trial == trial and id.spec == spec]
    return sorted(own, key=lambda id: (id.resource, id.attempt), reverse=True)


def _own(store: Store, study: Study, spec: SpecId, issue: Issue) -> list[CheckpointId]:
    top = resource_top(study, issue)
    return [id for id in spec_checkpoints(store, issue.trial, spec) if issue.start < id.resource <= top]


def _own_start(
    store: Store, study: Study, issue: Issue, id: CheckpointId, say: Callable[[str], None]
) -> Start | None:
    key = manifest_key(id)
    read = read_manifest(store, key, say)
    if read is None:
        return None
    manifest, digest = read
    if manifest.resource != id.resource:
        say(f"passing over a checkpoint: {key} says resource {manifest.resource}")
        return None
    inherited = tuple(_until(segment, id.resource) for segment in manifest.segments)
    try:
        curve = _curves(store, inherited, issue.start).get(study.objective.name, ())
    except DamagedRecord as error:
        say(f"passing over a checkpoint: {error}")
        return None
    if study.resource is not None and id.resource == issue.to and not (curve and curve[-1][0] == issue.to):
        return None  # saved before it was reported: only training the last unit again brings the result
    return Start(
        checkpoint=CheckpointRef(key=key, sha256=digest, resource=id.resource),
        manifest=manifest,
        own=True,
        inherited=inherited,
        measured=bool(curve),
    )


def _until(segment: SegmentRef, resource: int) -> SegmentRef:
    until = resource if segment.until is None else min(segment.until, resource)
    return replace(segment, until=until)


def _curves(store: Store, segments: tuple[SegmentRef, ...], start: int) -> dict[str, Curve]:
    parts = []
    for ref in segments:
        found = store.get(ref.key)
        if not isinstance(found, Blob) or sha256(found.data) != ref.sha256:
            raise DamagedRecord(ref.key, "missing, or not the bytes that its sha256 names")
        parts.append((ref, read_segment(found.data, ref.key)))
    return curves(parts, start)


def _deaths(chain: Sequence[Link]) -> Counter[str]:
    """Count, by manifest key, the attempts that started from it and were not given back in good order."""
    died: Counter[str] = Counter()
    for claim, end in pairwise(chain):
        if claim.kind is LinkKind.CLAIM and claim.checkpoint and end.kind is not LinkKind.RELEASE:
            died[claim.checkpoint.key] += 1
    return died
