"""Good bytes of every kind, to begin from."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hpo_pipe.coordinator.packs import encode_pack
from hpo_pipe.launch.code import packed
from storage_schema.code_archive import Kind, Member
from storage_schema.keys import SpecId
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import (
    Enqueue,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Metric,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    SettledSpec,
    StepKind,
    StopTrial,
    Submission,
    SubmissionStep,
)
from tests.unit.coordinator.world import HandWorker, World, a_study

GOLDEN = Path(__file__).parents[1] / "golden" / "records"


def golden(name: str) -> bytes:
    """Return a record of the golden tests."""
    return (GOLDEN / name).read_bytes().rstrip(b"\n")


STUDY = a_study()
STUDIES = (
    golden("study.json"),
    golden("study_with_a_warm_start.json"),
    STUDY.to_bytes(),
    a_study(resource=None, scheduler={"name": "none"}, searcher={"name": "random"}).to_bytes(),
    a_study(
        space=(
            {"name": "a", "type": "float", "min": 1e-4, "max": 1.0, "log": True},
            {"name": "b", "type": "int", "min": 1, "max": 64, "log": True, "step": 1},
            {"name": "c", "type": "categorical", "values": ["x", 1, True, [1, 2]]},
            {"name": "d", "type": "ordinal", "values": [32, 64, 128]},
            {"name": "e", "type": "constant", "value": {"k": [0.5]}},
        ),
        scheduler={"name": "none"},
        searcher={"name": "grid"},
        enqueued=({"a": 0.5},),
        limits=Limits(trials=3, total_resource=50, wall_s=10.0, gpu_hours=1.0, target=0.1),
    ).to_bytes(),
)


BOUNDED = a_study(
    metrics=(Metric(name="loss"), Metric(name="acc", goal="maximize", objective=True, min=0.0, max=1.0))
).to_bytes()


def issue(trial: int = 0, **more: object) -> Issue:
    """Return a decision to train a trial from nothing."""
    fields = {"start": 0, "to": 1, "rung": 0, "bracket": 0, "parameters": {"lr": 0.5}, "origin": "sobol"}
    return Issue(trial=trial, checkpoint=None, reason="new", **{**fields, **more})  # type: ignore[arg-type]


def entry(number: int, *decisions: object, settled: tuple[SettledSpec, ...] | None = ()) -> Entry:
    """Return a log entry."""
    facts = None if settled is None else Facts(now=10.0 + number, demand=4, settled=settled)
    author = "user" if settled is None else "coordinator"
    return Entry(entry=number, token="t", author=author, facts=facts, decisions=decisions)  # type: ignore[arg-type]


def done(spec: SpecId, value: float | None = 0.5) -> SettledSpec:
    """Return the fact of a spec that is done."""
    return SettledSpec(spec=spec, link=2, outcome="done", resource=1, curves={"loss": ((1, value),)})


LOG = (
    entry(0, issue(0), issue(1), issue(2)),
    entry(1, Pause(reason=""), Enqueue(parameters={"lr": 0.25}, reason="mine"), settled=None),
    entry(2, settled=(done(SpecId(0, 0)), done(SpecId(0, 1), None))),
    entry(3, Resume(reason=""), SetLimits(limits=Limits(trials=9), reason=""), settled=None),
    entry(4, issue(0, start=1, to=3, rung=1), StopTrial(trial=1, reason="bad"), issue(3, origin="enqueued")),
    entry(5, RetryTrial(trial=1, reason="again"), Finish(reason="enough"), settled=None),
)
LOG_BYTES = b"[" + b",".join(e.to_bytes() for e in LOG) + b"]"


def other_parquet(**options: object) -> bytes:
    """Return a segment as another program would write it."""
    out = io.BytesIO()
    columns = {
        "resource": [1, 2, 3],
        "metric": ["loss", "acc", "loss"],
        "value": [0.5, float("nan"), 1.0],
        "at": [0.0] * 3,
    }
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


ROWS = [Row(epoch, name, 0.5 / epoch, 1.0) for epoch in range(1, 60) for name in ("loss", "acc", "\u00fc")]
SEGMENTS = (
    write_segment(ROWS),
    write_segment([]),
    other_parquet(compression="none", use_dictionary=False),
    other_parquet(compression="gzip", data_page_version="2.0", store_schema=False),
    other_parquet(compression="snappy", use_dictionary=True, row_group_size=1),
)
PACKS = (
    encode_pack(0, [entry(n).to_bytes() for n in range(64)]),
    encode_pack(0, [b"", *[b"x" * n for n in range(63)]]),
)
REPORTS = (
    b'{"resource": 3, "val_loss": 0.41}',
    b'{"val_loss": NaN, "acc": -Infinity, "x": null}',
    b'{"resource": 1e3, "a": 1e999, "\\u00fc": 12345678901234567890}',
)
STUDY_TOML = b"""
name = "a"
command = ["python", "train.py", "{args}"]
seed = 7
[[metric]]
name = "loss"
pattern = "loss=([0-9.]+)"
[[metric]]
name = "acc"
goal = "maximize"
[parameters]
lr = { type = "float", min = 1e-4, max = 1e-1, log = true }
drop = { type = "float", min = 0.0, max = 0.5, step = 0.1 }
n = { type = "int", min = 1, max = 64, log = true }
act = { type = "categorical", values = ["relu", "tanh", 1] }
size = { type = "ordinal", values = [32, 64] }
flag = { type = "bool" }
momentum = 0.9
[resource]
max = 27
[algorithm]
scheduler = "asha"
searcher = "random"
[limits]
trials = 10
wall_time = "12h"
target = 0.5
[worker]
flush = "60s"
lease = "240s"
[environment]
A = "1"
[[enqueue]]
lr = 0.01
"""
STUDY_YAML = b"""
name: a
function: train:main
metric: {name: loss, goal: minimize}
parameters:
  lr: {type: float, min: 1e-4, max: 0.1, log: true}
  act: {type: categorical, values: &v [relu, tanh]}
  again: {type: ordinal, values: *v}
resource: {min: 1, max: 9, eta: 3}
limits: {gpu_hours: 5}
"""
SWEEP = b"""
program: train.py
method: bayes
name: My sweep
metric: {name: loss, goal: minimize, target: 0.1}
command: ["${env}", "${interpreter}", "${program}", "${args}"]
parameters:
  lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}
  a: {distribution: q_uniform, min: 0, max: 10, q: 2}
  b: {distribution: log_uniform, min: -5, max: 0}
  c: {min: 1, max: 9}
  d: {values: [1, 2, a]}
  e: {value: 3}
early_terminate: {type: hyperband, min_iter: 3, eta: 3}
run_cap: 20
"""
STUDY_JSON = json.dumps(
    {
        "command": ["train"],
        "metric": {"name": "loss"},
        "parameters": {
            "lr": {"type": "float", "min": 0.0, "max": 1.0, "step": 0.25},
            "n": {"type": "int", "min": 1, "max": 1000000, "log": True},
            "act": {"type": "categorical", "values": ["a", 1, None, [1]]},
            "c": {"type": "constant", "value": {"a": [1]}},
        },
        "resource": {"name": "epoch", "min": 1, "max": 27, "eta": 3},
        "algorithm": {"scheduler": "asha", "searcher": "grid", "shuffle": True},
        "limits": {"trials": 10, "wall_time": "2h"},
        "worker": {"retries": 1, "flush": 1, "lease": "20s", "tick": 1.5, "grace": 0},
        "environment": {"A": "b"},
        "enqueue": [{"lr": 0.5}],
    }
).encode()
SWEEP_JSON = json.dumps(
    {
        "method": "random",
        "program": "t.py",
        "metric": {"name": "loss"},
        "parameters": {
            "lr": {"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 1},
            "m": {"min": 0.5, "max": 1.5},
        },
        "early_terminate": {"type": "hyperband", "max_iter": 27, "s": 2},
    }
).encode()
SUBMISSION = Submission(
    number=3,
    token="00ff00ff00ff00ff",
    author="ada@host",
    at=1.7e9,
    target="aws-batch",
    workers=16,
    instance_type="g5.xlarge",
    lifecycle="spot",
    plan={"url": "s3://bucket/studies/digits", "slots": None, "env": {"A": "b"}},
    settings={"job_queue": "spot"},
)
SUBMISSION_STEP = SubmissionStep(
    number=3,
    step=2,
    token="00ff00ff00ff00fe",
    author="ada@host",
    at=1.7e9 + 2,
    kind=StepKind.STARTED,
    workers=12,
    jobs=("8c1f-4", "8c1f-5"),
    refusal="quota",
    message="ResourceLimitExceeded: 12 of 16",
)

__all__ = ["HandWorker", "World"]

ARCHIVES = (
    packed(
        [
            Member(name="a", kind=Kind.FOLDER),
            Member(name="a/link", kind=Kind.LINK, target="../train.py"),
            Member(name="a/" + "long" * 60, kind=Kind.FILE, data=b"x" * 600),
            Member(name="run.sh", kind=Kind.FILE, data=b"#!/bin/sh\n", executable=True),
            Member(name="train.py", kind=Kind.FILE, data=b"print(1)\n"),
            Member(name="\u00e9", kind=Kind.FOLDER),
        ]
    ),
    packed([Member(name="train.py", kind=Kind.FILE)]),
)

_WRITTEN = {"bucket": {"name": "bucket"}, "object": {"key": "studies/first/log/00000001.json", "size": 9}}
_BRIDGED = {"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": _WRITTEN}
EVENTS = tuple(
    json.dumps(event).encode()
    for event in (
        {"study": "s3://bucket/studies/first"},
        _BRIDGED,
        {"Records": [{"eventSource": "aws:s3", "s3": _WRITTEN}]},
        {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps(_BRIDGED)}]},
    )
)
