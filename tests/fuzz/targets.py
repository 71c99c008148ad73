"""Everything that reads a stranger's bytes, in one table: what it may raise, what it names, and good bytes of it.

The hypothesis tests and the coverage-guided runs (``python -m tests.fuzz``) work through this table, and a test finds a
reader that is not in it.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpo_pipe.coordinator.packs import decode_pack
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema import keys
from storage_schema.codec import decode, encode, encode_record
from storage_schema.errors import DamagedRecord, StudyFileError, UserError
from storage_schema.history import History
from storage_schema.keys import LinkId, SpecId
from storage_schema.metric_log import curves, read_segment, thinned
from storage_schema.records import (
    Board,
    Entry,
    Facts,
    Heartbeat,
    Link,
    Manifest,
    SegmentRef,
    Study,
    Submission,
    SubmissionStep,
)
from storage_schema.secret_refs import parse_secret
from tests.fuzz import samples
from tests.fuzz.readings import (
    TRIAL_FILE,
    read_archive,
    read_json_event,
    read_metrics_file,
    read_pairs,
    read_printed,
    read_report,
    read_status_file,
    read_tar,
    read_trial_file,
    read_warm_reply,
    study_file,
)
from workers.reports import BadLine

SPEC = SpecId(42, 3)
MANIFEST = "checkpoints/00000007/0000000003-00000042-003.0001/manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader. `read` is given bytes; it returns a value, or raises one of `allowed` with `names` in its words."""

    read: Callable[[bytes], Any]
    samples: tuple[bytes, ...]
    covers: tuple[str, ...] = ()
    """Qualified names of the functions that it runs."""
    allowed: tuple[type[Exception], ...] = (DamagedRecord,)
    names: str = ""
    again: Callable[[Any], bytes] | None = None
    """Writes what was read: reading that gives the same value, and writing it the same bytes."""
    is_json: bool = False
    is_record: bool = False
    """JSON whose last field is a check over its bytes."""


def record(read: Callable[[bytes], Any], names: str, covers: str, *found: bytes) -> Target:
    """Return the target of a record's kind."""
    return Target(
        read=read,
        samples=found,
        covers=(f"storage_schema.records.{covers}.from_bytes",),
        names=names,
        again=lambda value: value.to_bytes(),
        is_json=True,
        is_record=True,
    )


def fold(data: bytes) -> History:
    """Read a JSON array of entries, and fold them into a study's history."""
    history = History(samples.STUDY)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedRecord("log/00000000.json", "no array") from None
    for number, value in enumerate(found if isinstance(found, list) else []):
        if isinstance(value, dict):
            value.pop("check", None)
        try:
            written = json.dumps(value).encode()
        except RecursionError:
            written = b""
        history.fold(Entry.from_bytes(written, number))
    _look_at(history)
    return history


def decided(data: bytes) -> Any:
    """Read a study, and take its first decisions."""
    study = Study.from_bytes(data)
    view = View.of(History(study))
    return decide(view, Facts(now=1.0, demand=3))


def read_rows(data: bytes) -> Any:
    """Read a segment, and draw its curves."""
    table = read_segment(data, "metrics/k")
    ref = SegmentRef(key="metrics/k", sha256="", until=2)
    found = curves([(ref, table), (SegmentRef(key="metrics/k", sha256=""), table)], 0)
    return [thinned(curve, (1, 3, 9)) for curve in found.values()]


def parse_names(data: bytes) -> None:
    """Read bytes as a key of each kind and as each kind of name; what is read builds the same key again."""
    text = data.decode("utf-8", "surrogateescape")
    for parse, build in PARSERS:
        found = parse(text)
        if found is not None:
            assert build(found) == text
            assert text.isascii() and ".." not in text and not text.startswith("/")
    for check in (keys.checked_study_name, keys.checked_worker, keys.checked_file_name):
        try:
            assert check(text) == text
        except UserError:
            continue
        assert text.isascii() and text not in ("", ".", "..")
        assert not text.startswith("/") and "/../" not in f"/{text}/" and text.isprintable()


PARSERS: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (keys.SpecId.parse, str),
    (keys.parse_log_key, keys.log_key),
    (keys.parse_link_key, keys.link_key),
    (keys.parse_segment_key, keys.segment_key),
    (keys.parse_output_key, lambda found: keys.output_key(*found)),
    (keys.parse_manifest_key, keys.manifest_key),
    (keys.parse_worker_key, keys.worker_key),
    (keys.parse_snapshot_key, keys.snapshot_key),
    (keys.parse_submission_key, lambda found: keys.submission_key(*found)),
    (keys.parse_code_key, keys.code_key),
)


def _look_at(history: History) -> None:
    """What every reader of a history does with it."""
    history.best()
    for trial in history.trials:
        history.state(trial)
    encode_record({"best": history.best_seen.trial if history.best_seen else None})


_STUDY_FILE: dict[str, Any] = {"allowed": (StudyFileError,), "names": "-study"}

TARGETS: dict[str, Target] = {
    "json": Target(
        read=lambda data: decode(data, "k"),
        samples=samples.STUDIES,
        covers=("storage_schema.codec.decode", "storage_schema.records.reading.opened"),
        names="k: ",
        again=encode,
        is_json=True,
        is_record=True,
    ),
    "study": record(Study.from_bytes, "study.json: ", "study.Study", *samples.STUDIES, samples.BOUNDED),
    "entry": record(
        lambda data: Entry.from_bytes(data, 43),
        "log/00000043.json: ",
        "log.Entry",
        samples.golden("log_00000043.json"),
        *[
            Entry(entry=43, token="t", author=e.author, facts=e.facts, decisions=e.decisions).to_bytes()
            for e in samples.LOG
        ],
    ),
    "link": record(
        lambda data: Link.from_bytes(data, LinkId(SPEC, 2)),
        "chain/00000042/003.0002.json: ",
        "chain.Link",
        samples.golden("chain_00000042_003.0002.json"),
    ),
    "manifest": record(
        lambda data: Manifest.from_bytes(data, MANIFEST),
        MANIFEST + ": ",
        "checkpoint.Manifest",
        samples.golden("manifest.json"),
    ),
    "heartbeat": record(
        lambda data: Heartbeat.from_bytes(data, "w-a-1-00ff00"),
        "workers/w-a-1-00ff00.json: ",
        "presence.Heartbeat",
        samples.golden("workers_w-a-1-00ff00.json"),
    ),
    "board": record(
        Board.from_bytes, "hints/board.json: ", "presence.Board", samples.golden("hints_board.json")
    ),
    "submission": record(
        lambda data: Submission.from_bytes(data, 3),
        "submissions/00000003.0001.json: ",
        "submission.Submission",
        samples.SUBMISSION.to_bytes(),
    ),
    "submission_step": record(
        lambda data: SubmissionStep.from_bytes(data, 3, 2),
        "submissions/00000003.0002.json: ",
        "submission.SubmissionStep",
        samples.SUBMISSION_STEP.to_bytes(),
    ),
    "log": Target(read=fold, samples=(samples.LOG_BYTES,), names="log/0000000", is_json=True),
    "decide": Target(
        read=decided,
        samples=samples.STUDIES,
        allowed=(DamagedRecord, StudyFileError),
        names="study.json",
        is_json=True,
        is_record=True,
    ),
    "segment": Target(
        read=read_rows,
        samples=samples.SEGMENTS,
        covers=("storage_schema.metric_log.read_segment",),
        names="metrics/k: ",
    ),
    "pack": Target(
        read=lambda data: decode_pack(data, 63),
        samples=samples.PACKS,
        covers=("hpo_pipe.coordinator.packs.decode_pack",),
        names="snapshots/00000063.parquet: ",
    ),
    "archive": Target(
        read=read_archive, samples=samples.ARCHIVES, covers=("workers.archive.members",), names="code/k: "
    ),
    "archive-tar": Target(
        read=read_tar, samples=tuple(gzip.decompress(data) for data in samples.ARCHIVES), names="code/k: "
    ),
    "event": Target(
        read=read_json_event, samples=samples.EVENTS, allowed=(UserError,), names="event", is_json=True
    ),
    "names": Target(
        read=parse_names,
        samples=(
            b"log/00000043.json",
            b"chain/00000042/003.0002.json",
            b"metrics/00000042/003.0001.000001.parquet",
            b"output/00000042/003.0001.txt",
            MANIFEST.encode(),
            b"workers/w-a-1-00ff00.json",
            b"snapshots/00000063.parquet",
            b"00000042-003",
            b"code/" + b"0123456789abcdef" * 4 + b".tar.gz",
            b"dir/model.pt",
        ),
        covers=tuple(
            f"storage_schema.keys.{name}"
            for name in (
                "SpecId.parse",
                "parse_log_key",
                "parse_link_key",
                "parse_segment_key",
                "parse_output_key",
                "parse_manifest_key",
                "parse_worker_key",
                "parse_snapshot_key",
                "parse_submission_key",
                "parse_code_key",
            )
        ),
        allowed=(),
    ),
    "report": Target(read=read_report, samples=samples.REPORTS, allowed=(BadLine,), is_json=False),
    "status-file": Target(
        read=read_status_file,
        samples=(b"pid 4711\nexit 75\n", b"pid 4711\n"),
        covers=("storage_schema.status_file.read",),
        allowed=(),
    ),
    "metrics-file": Target(
        read=read_metrics_file, samples=(b"\n".join(samples.REPORTS) + b"\n",), allowed=()
    ),
    "printed": Target(
        read=read_printed, samples=(b"epoch 3 loss=0.5\nloss=nan\r\nepoch 4\n\xff\x1b[31m",), allowed=()
    ),
    "warm-reply": Target(
        read=read_warm_reply,
        samples=(b'{"status": 0, "reason": ""}\n', b'{"status": 1, "reason": "ValueError: x"}\n'),
        allowed=(),
        is_json=True,
    ),
    "trial-file": Target(
        read=read_trial_file,
        samples=(TRIAL_FILE.to_bytes(),),
        allowed=(RuntimeError,),
        names="HPO_PIPE_TRIAL=",
        is_json=True,
    ),
    "study-toml": Target(
        read=study_file(".toml"),
        samples=(samples.STUDY_TOML,),
        covers=("hpo_pipe.study_file.read_study_file", "hpo_pipe.study_file.load.load"),
        **_STUDY_FILE,
    ),
    "study-yaml": Target(
        read=study_file(".yaml"), samples=(samples.STUDY_YAML, samples.SWEEP), **_STUDY_FILE
    ),
    "study-json": Target(
        read=study_file(".json"),
        samples=(samples.STUDY_JSON, samples.SWEEP_JSON),
        covers=("hpo_pipe.study_file.read_study_mapping",),
        is_json=True,
        **_STUDY_FILE,
    ),
    "secret": Target(
        read=lambda data: parse_secret(data.decode("utf-8", "surrogateescape")),
        samples=(
            b"HF_TOKEN=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/hf-AbCdEf#token",
            b"W=arn:aws-us-gov:ssm:us-gov-west-1:111122223333:parameter/team/wandb",
            b"T=file:///run/secrets/t",
        ),
        covers=("storage_schema.secret_refs.parse_secret",),
        allowed=(UserError,),
        names="--secret",
        again=lambda ref: str(ref).encode("utf-8", "surrogateescape"),
    ),
    "pairs": Target(read=read_pairs, samples=(b"lr=0.5\nact=relu\nx=[1]",), allowed=(UserError,)),
}

MAX_SECONDS = 20.0
"""Of CPU for one input, on a busy machine."""


class BrokenLaw(AssertionError):
    """A reader did something else than returning a value or raising its error."""


def check(name: str, data: bytes) -> bool:
    """Hold one reader to its laws on `data`; return whether it took it. Raises what it must not raise."""
    target = TARGETS[name]
    began = os.times().user
    try:
        found = target.read(data)
    except target.allowed as error:
        said = str(error)
        if target.names not in said or len(said) > 10_000_000 or not said.strip():
            raise BrokenLaw(f"{name}: {said[:500]!r} does not name {target.names!r}") from error
        taken = False
    else:
        taken = True
        if target.again is not None:
            written = target.again(found)
            if target.read(written) != found or target.again(target.read(written)) != written:
                raise BrokenLaw(f"{name}: what was read is not what is written")
    if os.times().user - began > MAX_SECONDS:
        raise BrokenLaw(f"{name}: took {os.times().user - began:.1f} s")
    return taken
