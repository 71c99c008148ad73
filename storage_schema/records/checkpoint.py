"""References to immutable bytes (segments, manifests), and the checkpoint's manifest, whose existence is the commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage_schema.codec import Json, encode_record
from storage_schema.errors import UserError
from storage_schema.keys import MAX_RESOURCE, checked_file_name, parse_manifest_key, parse_segment_key
from storage_schema.records.reading import FORMAT, Fields, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRef:
    """A metric segment that belongs to the record, and how far it counts."""

    key: str
    sha256: str
    until: int | None = None
    """Rows with a greater resource are not part of the record: a later attempt went on from a checkpoint at
    `until`. None: all rows count."""

    def to_json(self) -> Json:
        """Return the reference as JSON."""
        return {"key": self.key, "sha256": self.sha256, "until": self.until}

    @classmethod
    def from_fields(cls, f: Fields) -> SegmentRef:
        """Read back what :meth:`to_json` wrote."""
        key = f.text("key")
        if parse_segment_key(key) is None:
            f.refuse("key", key, "the key of a metric segment")
        return cls(key=key, sha256=f.text("sha256"), until=f.optional("until", _resource_of(f)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """A committed checkpoint, by its manifest."""

    key: str
    """The manifest's key."""
    sha256: str
    """Of the manifest's bytes."""
    resource: int
    """Units of training behind it."""

    def to_json(self) -> Json:
        """Return the reference as JSON."""
        return {"key": self.key, "sha256": self.sha256, "resource": self.resource}

    @classmethod
    def from_fields(cls, f: Fields) -> CheckpointRef:
        """Read back what :meth:`to_json` wrote."""
        key = f.text("key")
        if parse_manifest_key(key) is None:
            f.refuse("key", key, "the key of a checkpoint's manifest")
        return cls(key=key, sha256=f.text("sha256"), resource=_resource_of(f)("resource"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """One file of a checkpoint; `name` may hold ``/``."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint holds, and the metric segments that lead up to it.

    The segments make a resumed attempt's history complete: its own segments begin after `resource`.
    """

    resource: int
    files: tuple[CheckpointFile, ...]
    segments: tuple[SegmentRef, ...]

    def to_bytes(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode_record(
            {
                "format": FORMAT,
                "kind": "manifest",
                "resource": self.resource,
                "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in self.files],
                "segments": [s.to_json() for s in self.segments],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Manifest:
        """Read the record; raises DamagedRecord, also for a file name that would leave its folder."""
        f = opened(data, key, ("manifest",))
        return cls(
            resource=_resource_of(f)("resource"),
            files=_files(f),
            segments=tuple(SegmentRef.from_fields(item) for item in f.each("segments")),
        )


def _resource_of(f: Fields) -> Callable[[str], int]:
    return lambda name: f.integer(name, 0, MAX_RESOURCE)


def _files(f: Fields) -> tuple[CheckpointFile, ...]:
    """Read the files; no two of a name, and none where another one needs a folder."""
    files = tuple(_file(item) for item in f.each("files"))
    names = {file.name for file in files}
    folders = {
        "/".join(parts[:depth]) for parts in (n.split("/") for n in names) for depth in range(1, len(parts))
    }
    if len(names) < len(files) or names & folders:
        f.refuse("files", "a name is there twice", "different names, none a folder of another")
    return files


def _file(f: Fields) -> CheckpointFile:
    name = f.text("name")
    try:
        checked_file_name(name)
    except UserError:
        f.refuse("name", name, "a relative file name")
    return CheckpointFile(name=name, size=f.integer("size"), sha256=f.text("sha256"))
