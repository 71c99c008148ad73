"""Readers of files and of lines, as targets call them."""

from __future__ import annotations

import gzip
import json
import os
import posixpath
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hpo_pipe.cli.logs import added
from hpo_pipe.cli.steer import configuration
from hpo_pipe.decide import decide
from hpo_pipe.launch.lambda_event import read_event
from hpo_pipe.study_file import default_timing, read_study_file
from hpo_pipe.trial_place import UnderWorker
from hpo_pipe.view import View
from storage_schema import keys, status_file
from storage_schema.codec import encode_record
from storage_schema.history import History
from storage_schema.records import (
    Facts,
    Study,
)
from storage_schema.terminal import printable_output
from storage_schema.trial_env import TrialFile
from workers.archive import members
from workers.metric_patterns import MetricPatterns, PrintedReports
from workers.reports import BadLine, Complaints, ReportFile, parsed
from workers.warm_process import _read as read_reply


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _file(name: str) -> Path:
    return _folder() / f"{os.getpid()}-{name}"


TRIAL_FILE = TrialFile(
    study="s",
    trial=1,
    spec="00000000-000",
    attempt=1,
    parameters={"lr": 0.5},
    resource_name="epoch",
    start=0,
    to=3,
    objective="loss",
    goal="minimize",
    seed=1,
    metrics_file="/dev/null",
    checkpoint_dir="/nonexistent",
    restored=None,
    stop_file="/nonexistent/stop",
)


def read_report(data: bytes) -> Any:
    """Read one report line; its complaints go into a record."""
    said: list[str] = []
    try:
        return parsed(data, 1, said.append)
    except BadLine as error:
        said.append(str(error))
        raise
    finally:
        encode_record({"reason": "; ".join(said)})


def read_status_file(data: bytes) -> Any:
    """Read what a worker tells its launcher."""
    path = _file("status")
    path.write_bytes(data)
    return status_file.read(path)


def read_metrics_file(data: bytes) -> Any:
    """Read a metrics file as a worker does, in two parts."""
    path, complaints = _file("metrics.jsonl"), Complaints()
    path.write_bytes(b"")
    reader = ReportFile(str(path), start=0, now=lambda: 0.0, complaints=complaints)
    try:
        with path.open("ab") as file:
            file.write(data[: len(data) // 2])
        reports = reader.read()
        with path.open("ab") as file:
            file.write(data[len(data) // 2 :])
        reports += [report for part in reader.finish() for report in part]
    finally:
        reader.close()
    encode_record({"reason": "; ".join(complaints.lines())})
    assert all(0 <= report.resource <= keys.MAX_RESOURCE and report.values for report in reports)
    return reports


def read_printed(data: bytes) -> Any:
    """Read output with patterns, in two parts; show it on a terminal."""
    complaints = Complaints()
    patterns = MetricPatterns((("loss", r"loss=(\S+)"), ("resource", r"epoch (\S+)")), "loss")
    printed = PrintedReports(patterns, start=0, now=lambda: 0.0, complaints=complaints)
    half = len(data) // 2
    reports = [*printed.feed(data[:half]), *printed.feed(data[half:]), *printed.finish()]
    encode_record({"reason": "; ".join(complaints.lines())})
    assert all(0 <= report.resource <= keys.MAX_RESOURCE for report in reports)
    assert added(data[:half], data) == data[half:]
    printable_output(data.decode("utf-8", "replace")).encode()
    return reports


def read_warm_reply(data: bytes) -> Any:
    """Read a warm process's answer; its reason goes into a record."""
    ended = read_reply(data)
    assert ended is not None
    encode_record({"reason": ended.reason})
    return ended


def read_trial_file(data: bytes) -> Any:
    """Read a trial file as a training script does; the file that it appends to is made here."""
    path = _file("trial.json")
    try:
        value = json.loads(data)
        if isinstance(value["metrics_file"], str) and "\0" not in value["metrics_file"]:
            value["metrics_file"] = str(_file("appended"))
        data = json.dumps(value).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        data = data.replace(b"metrics_file", b"metrics_fil_")
    path.write_bytes(data)
    place = UnderWorker(str(path))
    place.close()
    return place


def study_file(suffix: str) -> Callable[[bytes], Any]:
    """Return what reads a study file of a suffix, up to the record that is made of it."""

    def read(data: bytes) -> Any:
        path = _file(f"study{suffix}")
        path.write_bytes(data)
        draft = read_study_file(path)
        study = draft.study(token="t", created_at=0.0, seed=1, proof={}, timing=default_timing("memory://x"))
        assert Study.from_bytes(study.to_bytes()).to_bytes() == study.to_bytes()
        return decide(View.of(History(study)), Facts(now=1.0, demand=2))

    return read


def read_pairs(data: bytes) -> Any:
    """Read a command line's NAME=VALUE pairs."""
    return configuration(tuple(data.decode("utf-8", "surrogateescape").split("\n")))


def read_json_event(data: bytes) -> Any:
    """Read what a Lambda function is given; what is no JSON does not come that far."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return read_event(event, "s3://bucket/studies/first")


def read_tar(data: bytes) -> Any:
    """Read a tar file as the content of an archive of code; gzip's own checksum would keep nearly all harm away."""
    return read_archive(gzip.compress(data, 1))


def read_archive(data: bytes) -> Any:
    """Read an archive of code; what is let through has names and links that stay below a folder."""
    found = list(members(data, "code/k"))
    for member in found:
        path = posixpath.normpath(f"/code/{member.name}")
        assert path == f"/code/{member.name}" and "\0" not in path
        leads_to = posixpath.normpath(f"{posixpath.dirname(path)}/{member.target}")
        assert leads_to == "/code" or leads_to.startswith("/code/")
    assert len({member.name for member in found}) == len(found)
    return found
