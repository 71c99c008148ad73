"""The bytes of every record are pinned: a study that was written today is read by every later version.

A change here is a change of the format. Then FORMAT goes up, and the old bytes stay here, read for ever.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage_schema import keys
from storage_schema.errors import DamagedRecord, NewerFormat
from storage_schema.keys import CheckpointId, LinkId, SegmentId, SpecId
from storage_schema.records import (
    Board,
    CheckpointFile,
    CheckpointRef,
    Enqueue,
    Entry,
    Facts,
    Finish,
    Heartbeat,
    Held,
    Issue,
    Limits,
    Link,
    LinkKind,
    Manifest,
    Metric,
    OpenSpec,
    Pause,
    Program,
    Resource,
    Resume,
    RetryTrial,
    SegmentRef,
    SetLimits,
    SettledSpec,
    StepKind,
    StopTrial,
    Study,
    Submission,
    SubmissionStep,
    Timing,
    WarmResult,
    WarmSource,
    WarmStart,
)
from storage_schema.trial_env import TrialFile

SPEC = SpecId(42, 3)
CHECKPOINT = CheckpointRef(
    key="checkpoints/00000007/0000000003-00000042-003.0001/manifest.json", sha256="ab" * 32, resource=3
)
SEGMENT = SegmentRef(key="metrics/00000042/003.0001.000001.parquet", sha256="cd" * 32, until=2)

STUDY = Study(
    name="digits",
    token="f00d",
    created_at=1.5,
    seed=7,
    space=({"name": "lr", "type": "float", "min": 0.0001, "max": 0.1, "log": True},),
    metrics=(Metric(name="val_loss"), Metric(name="accuracy", goal="maximize")),
    resource=Resource(name="epoch", min=1, max=9, rungs=(1, 3, 9)),
    scheduler={"name": "asha", "eta": 3, "brackets": 1},
    searcher={"name": "sobol"},
    limits=Limits(trials=40, wall_s=3600.0, target=0.1),
    program=Program(
        command=("python", "train.py", "--lr={lr}"),
        metric_patterns=(("val_loss", "loss=(.*)"),),
        environment=(("A", "ü"),),
    ),
    timing=Timing(flush_s=2.0, lease_s=20.0, tick_s=1.0),
    enqueued=({"lr": 0.01},),
    proof={"create": "exclusive"},
)
FACTS = Facts(
    now=12.25,
    demand=4,
    settled=(
        SettledSpec(
            spec=SPEC,
            link=2,
            outcome="done",
            resource=3,
            curves={"val_loss": ((1, 0.5), (2, None), (3, 0.25))},
            checkpoint=CHECKPOINT,
            wall_s=1.5,
            gpu_s=3.0,
            attempts=2,
            reason="",
        ),
    ),
)
PRICED = replace(
    FACTS,
    settled=(replace(FACTS.settled[0], cost=0.75, priced=1),),
    open_cost=1.25,
)
ISSUE = Issue(
    trial=7,
    start=3,
    to=9,
    rung=2,
    bracket=0,
    parameters={"lr": 0.01, "b": True, "c": None},
    origin="sobol",
    checkpoint=CHECKPOINT,
    reason="rank 1 of 3",
)
CLONE = replace(ISSUE, trial=8, bracket=2, parameters={"lr": 0.0125}, origin="pbt", parent=7)
POPULATION = replace(STUDY, scheduler={"name": "pbt", "interval": 3}, keep_checkpoints="all")
TRADE_OFFS = replace(
    STUDY,
    metrics=(
        Metric(name="val_loss", max=1.5),
        Metric(name="accuracy", goal="maximize", objective=True, min=0.5),
        Metric(name="latency", min=0.0, max=20.0),
    ),
    limits=Limits(trials=40, not_improving=9, convergence=0.01),
)
WARM = replace(
    STUDY,
    warm_start=WarmStart(
        mode="identical",
        best_first=2,
        sources=(
            WarmSource(
                url="s3://bucket/studies/first",
                name="first",
                sha256="ab" * 32,
                head=17,
                resource="epoch",
                rungs=(1, 3, 9),
                first=(4,),
                results=(
                    WarmResult(
                        trial=4,
                        parameters={"lr": 0.01},
                        curves={"val_loss": ((1, 0.5), (3, None), (9, 0.25))},
                    ),
                    WarmResult(trial=2, parameters={"lr": 0.1}, curves={}, failed=True),
                ),
            ),
            WarmSource(url="file:///b", name="b", sha256="cd" * 32, head=-1, rungs=(1,)),
        ),
    ),
)
RECORDS = {
    "study.json": (STUDY, Study.from_bytes),
    "study_with_a_warm_start.json": (WARM, Study.from_bytes),
    "study_of_trade_offs.json": (TRADE_OFFS, Study.from_bytes),
    "study_of_a_population.json": (POPULATION, Study.from_bytes),
    "study_for_sagemaker.json": (
        replace(STUDY, program=replace(STUDY.program, layout="sagemaker")),
        Study.from_bytes,
    ),
    "study_with_a_budget.json": (replace(STUDY, limits=Limits(cost=50.0)), Study.from_bytes),
    "log/00000045.json": (
        Entry(
            entry=45,
            token="f00d",
            author="coordinator",
            facts=Facts(now=13.0, demand=4),
            decisions=(CLONE, StopTrial(trial=1, reason="its place was taken by trial 8")),
        ),
        lambda data: Entry.from_bytes(data, 45),
    ),
    "log/00000046.json": (
        Entry(entry=46, token="f00d", author="coordinator", facts=PRICED, decisions=()),
        lambda data: Entry.from_bytes(data, 46),
    ),
    "log/00000043.json": (
        Entry(
            entry=43,
            token="f00d",
            author="coordinator",
            facts=FACTS,
            decisions=(ISSUE, Finish(reason="enough")),
        ),
        lambda data: Entry.from_bytes(data, 43),
    ),
    "log/00000044.json": (
        Entry(
            entry=44,
            token="f00d",
            author="user",
            facts=None,
            decisions=(
                StopTrial(trial=1, reason="a"),
                RetryTrial(trial=2, reason="b"),
                Enqueue(parameters={"lr": 0.1}, reason="c"),
                SetLimits(limits=Limits(trials=80), reason="d"),
                Pause(reason="e"),
                Resume(reason="f"),
            ),
        ),
        lambda data: Entry.from_bytes(data, 44),
    ),
    "chain/00000042/003.0001.json": (
        Link(kind=LinkKind.CLAIM, id=LinkId(SPEC, 1), token="f00d", author="w-a-1-00ff00", at=2.5),
        lambda data: Link.from_bytes(data, LinkId(SPEC, 1)),
    ),
    "chain/00000042/003.0002.json": (
        Link(
            kind=LinkKind.FAIL,
            id=LinkId(SPEC, 2),
            token="f00d",
            author="w-a-1-00ff00",
            failures=1,
            at=3.5,
            wall_s=1.0,
            gpu_s=2.0,
            resource=2,
            segments=(SEGMENT,),
            checkpoint=CHECKPOINT,
            retries_left=2,
            reason="exit status 1",
            tail="Traceback",
        ),
        lambda data: Link.from_bytes(data, LinkId(SPEC, 2)),
    ),
    "chain/00000042/003.0004.json": (
        Link(
            kind=LinkKind.FENCE,
            id=LinkId(SPEC, 4),
            token="f00d",
            author="c-a-00ff00ff",
            failures=1,
            at=5.5,
            held_s=12.5,
            reason="no heartbeat",
        ),
        lambda data: Link.from_bytes(data, LinkId(SPEC, 4)),
    ),
    "chain/00000042/003.0003.json": (
        Link(
            kind=LinkKind.CLAIM,
            id=LinkId(SPEC, 3),
            token="f00d",
            author="w-a-1-00ff00",
            failures=1,
            at=4.5,
            checkpoint=CHECKPOINT,
            machine=(
                ("gpus", "1"),
                ("instance_type", "g5.xlarge"),
                ("lifecycle", "spot"),
                ("price_per_hour", "0.5"),
                ("provider", "aws"),
                ("slots", "2"),
                ("started_at", "1.000"),
            ),
        ),
        lambda data: Link.from_bytes(data, LinkId(SPEC, 3)),
    ),
    "manifest.json": (
        Manifest(
            resource=3,
            files=(CheckpointFile(name="model.pt", size=5, sha256="ef" * 32),),
            segments=(SEGMENT,),
        ),
        lambda data: Manifest.from_bytes(data, CHECKPOINT.key),
    ),
    "workers/w-a-1-00ff00.json": (
        Heartbeat(
            worker="w-a-1-00ff00",
            role="worker",
            host="a",
            pid=1,
            beat=9,
            started_at=1.0,
            slots=2,
            gpus=1,
            holding=(Held(spec=SPEC, attempt=1, trial=7, resource=2, value=0.5),),
            closed=3,
            recent=(SpecId(41, 0),),
            machine=(("instance", "p5"),),
        ),
        lambda data: Heartbeat.from_bytes(data, "w-a-1-00ff00"),
    ),
    "hints/board.json": (
        Board(head=43, open=(OpenSpec(spec=SPEC, next_link=3, priority=1, trial=7),), paused=True, beat=5),
        Board.from_bytes,
    ),
    "board_with_a_budget.json": (Board(head=3, open=(), budget=True), Board.from_bytes),
    "submissions/00000003.0001.json": (
        Submission(
            number=3,
            token="f00d",
            author="ada@host",
            at=1.5,
            target="aws-batch",
            workers=16,
            instance_type="g5.xlarge",
            lifecycle="spot",
            plan={"url": "s3://bucket/studies/digits"},
            settings={"job_queue": "spot"},
        ),
        lambda data: Submission.from_bytes(data, 3),
    ),
    "submissions/00000003.0002.json": (
        SubmissionStep(
            number=3,
            step=2,
            token="f00e",
            author="ada@host",
            at=2.5,
            kind=StepKind.STARTED,
            workers=12,
            jobs=("8c1f-4",),
            refusal="quota",
            message="12 of 16",
        ),
        lambda data: SubmissionStep.from_bytes(data, 3, 2),
    ),
}
PINNED = Path(__file__).with_name("records")


def unchecked(data: bytes) -> dict[str, Any]:
    """Return a record's fields without the check over its bytes: what an author in another language may leave out."""
    value: dict[str, Any] = json.loads(data)
    assert list(value)[-1] == "check"
    del value["check"]
    return value


def pinned(key: str) -> Path:
    return PINNED / key.replace("/", "_")


@pytest.mark.parametrize("key", RECORDS)
def test_bytes(key):
    record, read = RECORDS[key]
    assert record.to_bytes() == pinned(key).read_bytes().rstrip(b"\n")
    assert read(pinned(key).read_bytes()) == record


def test_a_study_from_before_warm_starts_is_one_without():
    assert b"warm_start" not in pinned("study.json").read_bytes()
    assert Study.from_bytes(pinned("study.json").read_bytes()).warm_start is None


def test_a_claim_from_before_machines_is_one_without():
    data = pinned("chain/00000042/003.0001.json").read_bytes()
    assert b"machine" not in data
    assert Link.from_bytes(data, LinkId(SPEC, 1)).machine == ()


@pytest.mark.parametrize("key", RECORDS)
def test_a_record_without_a_check_is_read(key):
    record, read = RECORDS[key]
    assert read(json.dumps(unchecked(record.to_bytes()), indent=1).encode()) == record


@pytest.mark.parametrize("key", RECORDS)
def test_every_flipped_bit_of_a_record_is_found(key):
    """Or it changes nothing: only the name of the check itself may be hit unseen."""
    record, read = RECORDS[key]
    data = record.to_bytes()
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            try:
                assert read(bytes(flipped)) == record
                assert 20 < len(data) - place <= 26, "outside of the name `check`"
            except DamagedRecord as error:
                assert error.key


@pytest.mark.parametrize("key", RECORDS)
def test_a_record_that_was_written_anew_with_its_old_check_is_refused(key):
    record, read = RECORDS[key]
    value = {**json.loads(record.to_bytes()), "later": 1}
    with pytest.raises(DamagedRecord, match="check"):
        read(json.dumps(value, separators=(",", ":")).encode())


@pytest.mark.parametrize("key", RECORDS)
def test_unknown_fields_of_this_format_are_ignored(key):
    record, read = RECORDS[key]
    value = unchecked(record.to_bytes())
    assert read(json.dumps({**value, "later": 1}).encode()) == record


@pytest.mark.parametrize("key", RECORDS)
def test_newer_formats_are_refused(key):
    record, read = RECORDS[key]
    value = unchecked(record.to_bytes())
    with pytest.raises(NewerFormat, match="upgrade"):
        read(json.dumps({**value, "format": 2}).encode())


@pytest.mark.parametrize("key", RECORDS)
def test_damage_is_named(key):
    record, read = RECORDS[key]
    data = record.to_bytes()
    for broken in (b"", data[:-1], b"[]", b"null", b"\xff" + data, data.replace(b'"kind":"', b'"kind":"x')):
        with pytest.raises(DamagedRecord):
            read(broken)


@pytest.mark.parametrize("key", RECORDS)
def test_a_field_that_is_missing_or_of_another_type_never_crashes_a_reader(key):
    record, read = RECORDS[key]
    value = unchecked(record.to_bytes())
    for name in value:
        for other in (None, [], {}, "text", -1, 1e300, [[]], [1], {"a": 1}):
            try:
                read(json.dumps({**value, name: other}).encode())
            except DamagedRecord as error:
                assert error.key


KEYS = {
    keys.STUDY: "study.json",
    keys.BOARD: "hints/board.json",
    keys.log_key(42): "log/00000042.json",
    keys.chain_prefix(42): "chain/00000042/",
    keys.link_key(LinkId(SPEC, 2)): "chain/00000042/003.0002.json",
    keys.segment_key(SegmentId(SPEC, 1, 6)): "metrics/00000042/003.0001.000006.parquet",
    keys.segment_prefix(SPEC, 1): "metrics/00000042/003.0001.",
    keys.output_key(SPEC, 1): "output/00000042/003.0001.txt",
    keys.trial_checkpoints(7): "checkpoints/00000007/",
    keys.manifest_key(CheckpointId(7, 3, SPEC, 1)): CHECKPOINT.key,
    keys.checkpoint_file_key(CheckpointId(7, 3, SPEC, 1), "a/b"): CHECKPOINT.key.replace(
        "manifest.json", "files/a/b"
    ),
    keys.worker_key("w-a-1-00ff00"): "workers/w-a-1-00ff00.json",
    keys.snapshot_key(99): "snapshots/00000099.parquet",
}


def test_keys():
    assert list(KEYS) == list(KEYS.values())


def test_trial_file():
    file = TrialFile(
        study="digits",
        trial=7,
        spec=str(SPEC),
        attempt=1,
        parameters={"lr": 0.01},
        resource_name="epoch",
        start=3,
        to=9,
        objective="val_loss",
        goal="minimize",
        seed=5,
        metrics_file="/t/metrics.jsonl",
        checkpoint_dir="/t/checkpoints",
        restored="/t/restored",
        stop_file="/t/stop",
        save_file="/t/save",
    )
    assert file.to_bytes() == pinned("trial.json").read_bytes().rstrip(b"\n")


def test_decisions_of_today_are_those_of_tomorrow():
    """What a small study decides is pinned: a change of it makes old logs fail their replay.

    Without Sobol and Halton, whose scrambling is scipy's and may change with it.
    """
    from tests.conformance.test_algorithms import PAIRS, digest

    known = json.loads(pinned("decisions.json").read_text())
    pairs = {str(pair.id): pair.values for pair in PAIRS}
    assert {name: digest(*pairs[name]) for name in known} == known
