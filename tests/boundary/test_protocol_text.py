"""PROTOCOL.md and the code say the same: every stored field is described, every cited section is there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from storage_schema import records
from storage_schema.keys import MAX_ENTRY, MAX_INDEX, MAX_LINK, MAX_RESOURCE, MAX_SEGMENT
from storage_schema.trial_env import MAX_LINE_BYTES, MAX_METRICS_PER_LINE, TrialFile

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "storage_schema" / "PROTOCOL.md").read_text("utf-8")

SECTIONS = {
    "6.2": (records.Study, records.Metric, records.Resource, records.Limits, records.Program, records.Timing),
    "6.3": (
        records.Entry,
        records.Facts,
        records.SettledSpec,
        records.Issue,
        records.StopTrial,
        records.Enqueue,
        records.SetLimits,
    ),
    "6.4": (records.Link, records.SegmentRef),
    "6.5": (records.Manifest, records.CheckpointFile),
    "6.6": (records.Heartbeat, records.Held),
    "6.7": (records.Board,),
    "6.9": (records.WarmStart, records.WarmSource, records.WarmResult),
    "6.10": (records.Submission, records.SubmissionStep),
    "8.1": (TrialFile,),
}
RENAMED = {"id": "link"}
"""Stored under another name than the field has."""


def section(number: str) -> str:
    """Return the text of a section such as ``6.4``."""
    begin = re.search(rf"^### {re.escape(number)} .*$", TEXT, re.MULTILINE)
    assert begin, f"no section {number}"
    end = re.search(r"^##+ ", TEXT[begin.end() :], re.MULTILINE)
    return TEXT[begin.start() : begin.end() + end.start() if end else None]


def described(text: str) -> set[str]:
    """Return all names within backticks of a text, also within ``{name, sha256}`` there."""
    code = re.findall(r"`([^`]*)`", re.sub(r"^###.*$", "", text, flags=re.MULTILINE))
    return {word for piece in code for word in re.findall(r"[a-z][a-z0-9_]*", piece)}


@pytest.mark.parametrize(
    ("number", "record"),
    [(number, record) for number, found in SECTIONS.items() for record in found],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_stored_field_is_described(number: str, record: type) -> None:
    known = described(section(number))
    missing = {RENAMED.get(f.name, f.name) for f in fields(record)} - known
    assert not missing, f"section {number} does not describe {sorted(missing)} of {record.__name__}"


def test_every_kind_of_link_is_described() -> None:
    assert {str(kind) for kind in records.LinkKind} <= set(
        re.findall(r"[a-z]+", section("6.4").splitlines()[0])
    )


def test_every_section_that_code_cites_is_there() -> None:
    there = set(re.findall(r"^##+ ([0-9]+(?:\.[0-9]+)?) ", TEXT, re.MULTILINE))
    files = [
        path for name in ("hpo_pipe", "workers", "storage_schema") for path in (ROOT / name).rglob("*.py")
    ]
    cited = {
        (path.name, number)
        for path in files
        for piece in re.findall(r"PROTOCOL\.md, ([^):\n]*)", path.read_text("utf-8"))
        for number in re.findall(r"[0-9]+(?:\.[0-9]+)?", piece.split("step")[0])
    }
    assert len(cited) > 5, "nothing is cited any more: does the pattern still fit?"
    assert {number for _, number in cited} <= there, sorted(c for c in cited if c[1] not in there)


def test_numbers_are_those_of_the_code() -> None:
    ranges = section_three()
    for top in (MAX_ENTRY, MAX_INDEX, MAX_LINK, MAX_SEGMENT, MAX_RESOURCE):
        assert f"to {top:,}" in ranges
    assert f"at most {MAX_LINE_BYTES // 1024} KiB and {MAX_METRICS_PER_LINE} metrics" in section("8.2")


def section_three() -> str:
    """Return section 3, which has no parts."""
    return TEXT.split("\n## 3 ")[1].split("\n## 4 ")[0]
