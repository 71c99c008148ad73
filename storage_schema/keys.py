"""Every storage key, built and parsed here and nowhere else (PROTOCOL.md, section 3).

Keys are relative to the study URL. Integers have fixed widths, so that byte order is number order.
``parse(build(x)) == x`` for every id; what does not parse strictly is not ours and is ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from storage_schema.errors import UserError

STUDY = "study.json"
BOARD = "hints/board.json"
LOG = "log/"
CHAIN = "chain/"
METRICS = "metrics/"
OUTPUT = "output/"
CHECKPOINTS = "checkpoints/"
WORKERS = "workers/"
CODE = "code/"
SNAPSHOTS = "snapshots/"
SUBMISSIONS = "submissions/"
PROOF = "proof/"
"""Scratch of `doctor`; deleted behind it."""

MAX_ENTRY = 10**8 - 1
MAX_INDEX = 999
MAX_LINK = 9999
MAX_SEGMENT = 10**6 - 1
MAX_SUBMISSION = 10**8 - 1
MAX_STEP = 9999
MAX_TRIAL = 10**8 - 1
MAX_RESOURCE = 10**10 - 1
MAX_FILE_NAME = 400
"""Characters of the name of a checkpoint's file, folders included."""

_STUDY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WORKER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SPEC = re.compile(r"([0-9]{8})-([0-9]{3})")
_LOG_KEY = re.compile(r"log/([0-9]{8})\.json")
_CHAIN_KEY = re.compile(r"chain/([0-9]{8})/([0-9]{3})\.([0-9]{4})\.json")
_SEGMENT_KEY = re.compile(r"metrics/([0-9]{8})/([0-9]{3})\.([0-9]{4})\.([0-9]{6})\.parquet")
_OUTPUT_KEY = re.compile(r"output/([0-9]{8})/([0-9]{3})\.([0-9]{4})\.txt")
_CHECKPOINT = re.compile(r"checkpoints/([0-9]{8})/([0-9]{10})-([0-9]{8}-[0-9]{3})\.([0-9]{4})/")
_WORKER_KEY = re.compile(r"workers/([a-z0-9][a-z0-9-]{0,62})\.json")
_SUBMISSION_KEY = re.compile(r"submissions/([0-9]{8})\.([0-9]{4})\.json")
_CODE_KEY = re.compile(r"code/([0-9a-f]{64})\.tar\.gz")
_SNAPSHOT_KEY = re.compile(r"snapshots/([0-9]{8})\.parquet")
_FILE_PART = re.compile(r"[A-Za-z0-9._+=@-]{1,200}")


@dataclass(frozen=True, slots=True, order=True)
class SpecId:
    """A spec, named by the log entry that issued it and its place there; as text ``00000042-003``."""

    entry: int
    index: int

    def __str__(self) -> str:
        return f"{self.entry:08}-{self.index:03}"

    @classmethod
    def parse(cls, text: str) -> SpecId | None:
        """Return the spec that `text` names, or None."""
        found = _SPEC.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True, order=True)
class LinkId:
    """One link of a spec's chain, counted from 1. A claim link's number is its attempt."""

    spec: SpecId
    link: int


@dataclass(frozen=True, slots=True, order=True)
class SegmentId:
    """One Parquet file of an attempt's metric log, counted from 1."""

    spec: SpecId
    attempt: int
    segment: int


@dataclass(frozen=True, slots=True, order=True)
class CheckpointId:
    """One checkpoint folder: what a trial's model was after `resource` units, written by one attempt."""

    trial: int
    resource: int
    spec: SpecId
    attempt: int


def log_key(entry: int) -> str:
    """Return the key of log entry `entry` (0, 1, ...)."""
    return f"log/{_within(entry, MAX_ENTRY, 'log entry'):08}.json"


def parse_log_key(key: str) -> int | None:
    """Return the entry's number, or None where `key` is no log key."""
    found = _LOG_KEY.fullmatch(key)
    return int(found[1]) if found else None


def chain_prefix(entry: int) -> str:
    """Return the prefix of all chains of the specs that log entry `entry` issued."""
    return f"chain/{_within(entry, MAX_ENTRY, 'log entry'):08}/"


def link_key(link: LinkId) -> str:
    """Return the key of a chain link."""
    spec = _spec_path(link.spec)
    return f"chain/{spec}.{_within(link.link, MAX_LINK, 'link', 1):04}.json"


def parse_link_key(key: str) -> LinkId | None:
    """Return the link, or None where `key` is no link key."""
    found = _CHAIN_KEY.fullmatch(key)
    return LinkId(SpecId(int(found[1]), int(found[2])), int(found[3])) if found and int(found[3]) else None


def segment_key(segment: SegmentId) -> str:
    """Return the key of a metric segment."""
    number = _within(segment.segment, MAX_SEGMENT, "segment", 1)
    return f"metrics/{_spec_path(segment.spec)}.{_attempt(segment.attempt)}.{number:06}.parquet"


def segment_prefix(spec: SpecId, attempt: int) -> str:
    """Return the prefix of all metric segments of one attempt."""
    return f"metrics/{_spec_path(spec)}.{_attempt(attempt)}."


def parse_segment_key(key: str) -> SegmentId | None:
    """Return the segment, or None where `key` is no segment key."""
    found = _SEGMENT_KEY.fullmatch(key)
    if not found or not int(found[3]) or not int(found[4]):
        return None
    return SegmentId(SpecId(int(found[1]), int(found[2])), int(found[3]), int(found[4]))


def output_key(spec: SpecId, attempt: int) -> str:
    """Return the key of what an attempt printed (head and tail, bounded)."""
    return f"output/{_spec_path(spec)}.{_attempt(attempt)}.txt"


def output_prefix(spec: SpecId) -> str:
    """Return the prefix of what all attempts of a spec printed."""
    return f"output/{_spec_path(spec)}."


def parse_output_key(key: str) -> tuple[SpecId, int] | None:
    """Return the spec and attempt, or None where `key` is no output key."""
    found = _OUTPUT_KEY.fullmatch(key)
    return (SpecId(int(found[1]), int(found[2])), int(found[3])) if found and int(found[3]) else None


def trial_checkpoints(trial: int) -> str:
    """Return the prefix of all checkpoints of a trial."""
    return f"checkpoints/{_within(trial, MAX_TRIAL, 'trial'):08}/"


def checkpoint_prefix(checkpoint: CheckpointId) -> str:
    """Return the prefix of one checkpoint's files."""
    resource = _within(checkpoint.resource, MAX_RESOURCE, "resource")
    spec = _spec_path(checkpoint.spec).replace("/", "-")
    return f"{trial_checkpoints(checkpoint.trial)}{resource:010}-{spec}.{_attempt(checkpoint.attempt)}/"


def manifest_key(checkpoint: CheckpointId) -> str:
    """Return the key of a checkpoint's manifest: its existence is the commit."""
    return checkpoint_prefix(checkpoint) + "manifest.json"


def checkpoint_file_key(checkpoint: CheckpointId, name: str) -> str:
    """Return the key of one file of a checkpoint; `name` may hold ``/`` for subfolders.

    Raises:
        UserError: a name that is absolute, climbs out, or has characters that a key must not have.
    """
    return f"{checkpoint_prefix(checkpoint)}files/{checked_file_name(name)}"


def parse_manifest_key(key: str) -> CheckpointId | None:
    """Return the checkpoint whose manifest `key` is, or None."""
    found = _CHECKPOINT.match(key)
    if not found or key[found.end() :] != "manifest.json" or not int(found[4]):
        return None
    spec = SpecId.parse(found[3])
    assert spec is not None  # the pattern holds a spec
    return CheckpointId(int(found[1]), int(found[2]), spec, int(found[4]))


def checked_file_name(name: str) -> str:
    """Return `name` if it may stand in a key and, below a folder, on a disk.

    Raises:
        UserError: otherwise.
    """
    parts = name.split("/")
    if len(name) > MAX_FILE_NAME or not all(_FILE_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise UserError(
            f"checkpoint file {name[:80]!r}: allowed are letters, digits, ._+=@- and / between them"
        )
    return name


def worker_key(worker: str) -> str:
    """Return the key of a worker's or coordinator's heartbeat."""
    return f"workers/{checked_worker(worker)}.json"


def parse_worker_key(key: str) -> str | None:
    """Return the worker's id, or None where `key` is no heartbeat key."""
    found = _WORKER_KEY.fullmatch(key)
    return found[1] if found else None


def snapshot_key(entry: int) -> str:
    """Return the key of the snapshot that ends with log entry `entry`."""
    return f"snapshots/{_within(entry, MAX_ENTRY, 'log entry'):08}.parquet"


def parse_snapshot_key(key: str) -> int | None:
    """Return the snapshot's last entry, or None where `key` is no snapshot key."""
    found = _SNAPSHOT_KEY.fullmatch(key)
    return int(found[1]) if found else None


def submission_key(number: int, step: int) -> str:
    """Return the key of one step of a submission; both count from 1, and step 1 says what is to be started."""
    number = _within(number, MAX_SUBMISSION, "submission", 1)
    return f"{SUBMISSIONS}{number:08}.{_within(step, MAX_STEP, 'step', 1):04}.json"


def parse_submission_key(key: str) -> tuple[int, int] | None:
    """Return a submission's number and step, or None where `key` is no such key."""
    found = _SUBMISSION_KEY.fullmatch(key)
    if not found or not int(found[1]) or not int(found[2]):
        return None
    return int(found[1]), int(found[2])


def code_key(sha256: str) -> str:
    """Return the key of the archive of code that has this sha256: 64 lower-case hexadecimal digits."""
    key = f"{CODE}{sha256}.tar.gz"
    if parse_code_key(key) is None:
        raise UserError(f"sha256 of an archive of code {sha256[:80]!r}: expected 64 digits, 0-9 and a-f")
    return key


def parse_code_key(key: str) -> str | None:
    """Return the sha256 of an archive of code, or None where `key` is no such key."""
    found = _CODE_KEY.fullmatch(key)
    return found[1] if found else None


def checked_worker(worker: str) -> str:
    """Return a valid worker id, or raise UserError."""
    if not _WORKER.fullmatch(worker):
        raise UserError(
            f"worker id {worker[:80]!r}: allowed are 1 to 63 of a-z, 0-9 and -, starting with a-z or 0-9"
        )
    return worker


def checked_study_name(name: str) -> str:
    """Return a valid study name, or raise UserError."""
    if not _STUDY_NAME.fullmatch(name):
        raise UserError(
            f"study name {name[:80]!r}: allowed are 1 to 63 of a-z, 0-9 and ._-, starting with a-z or 0-9"
        )
    return name


def _spec_path(spec: SpecId) -> str:
    entry = _within(spec.entry, MAX_ENTRY, "log entry")
    return f"{entry:08}/{_within(spec.index, MAX_INDEX, 'place in the entry'):03}"


def _attempt(number: int) -> str:
    return f"{_within(number, MAX_LINK, 'attempt', 1):04}"


def _within(number: int, top: int, what: str, low: int = 0) -> int:
    if not low <= number <= top:
        raise UserError(f"{what} {number} is outside {low} to {top}")
    return number
