"""PROTOCOL.md, section 13, and the models say the same: which lines of a model stand for which numbered step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "storage_schema" / "PROTOCOL.md").read_text("utf-8")
MODELS = {path.stem: path.read_text("utf-8") for path in (ROOT / "tests" / "model").glob("*.pml")}
COMPLETE = ("4", "5.1", "5.2", "5.3", "5.4", "5.7", "5.8", "5.12")
"""Sections of which every step is in the table."""

Step = tuple[str, int]

_STEPS = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?),? steps? (\d+)(?: (to|and) (\d+))?")


def steps(words: str) -> set[Step]:
    """Return the steps that a text cites, such as ``5.3 steps 1 to 5; 4 step 2``."""
    found = set()
    for section, first, joint, last in _STEPS.findall(words):
        numbers = range(int(first), int(last) + 1) if joint == "to" else (int(first), int(last or first))
        found |= {(section, number) for number in numbers}
    return found


def comments(model: str) -> str:
    """Return the comments of a model, without the one at its head, which explains the others."""
    body = MODELS[model].partition("*/")[2]
    return "\n".join(re.findall(r"/\*.*?\*/", body, re.DOTALL))


def labels(model: str) -> set[str]:
    """Return the labels of a model: Promela's own, and those that comments give."""
    own = set(re.findall(r"^([a-z_]+):(?!:)", MODELS[model], re.MULTILINE))
    return own | set(re.findall(r"\blabel ([a-z_]+)", comments(model)))


def numbered(section: str) -> set[Step]:
    """Return the numbered steps that PROTOCOL.md has in a section."""
    begin = re.search(rf"^###? {re.escape(section)} .*$", TEXT, re.MULTILINE)
    assert begin, f"no section {section}"
    end = re.search(r"^##+ ", TEXT[begin.end() :], re.MULTILINE)
    body = TEXT[begin.end() : begin.end() + end.start() if end else None]
    return {(section, int(number)) for number in re.findall(r"^(\d+)\. ", body, re.MULTILINE)}


def table() -> list[tuple[set[Step], str]]:
    """Return the rows of the table in section 13: steps, and what stands for them."""
    body = TEXT.split("\n## 13 ")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if "|" in line
    ]
    found = [(steps(row[0]), row[1]) for row in rows if len(row) == 2 and steps(row[0])]
    assert len(found) > 20, "does the pattern still fit?"
    return found


def named(cell: str) -> set[tuple[str, str]]:
    """Return the (model, label) pairs of a cell such as ```chain: claim, dies`; `log: user```."""
    return {
        (model, label.strip())
        for model, some in re.findall(r"`(\w+): ([a-z_, ]+)`", cell)
        for label in some.split(",")
    }


def test_rows_name_labels_or_say_why_not() -> None:
    for cited, cell in table():
        assert named(cell) or re.match(r"not modelled: \w+", cell), f"{sorted(cited)}: {cell!r}"
        missing = {(model, label) for model, label in named(cell) if label not in labels(model)}
        assert not missing, f"{sorted(cited)}: no such label: {sorted(missing)}"


def test_every_step_in_the_table_is_a_step() -> None:
    cited = {step for row, _ in table() for step in row}
    assert not {step for step in cited if step not in numbered(step[0])}


def test_no_step_is_in_the_table_twice() -> None:
    cited = [step for row, _ in table() for step in row]
    assert sorted(cited) == sorted(set(cited))


@pytest.mark.parametrize("section", COMPLETE)
def test_no_step_is_left_out(section: str) -> None:
    cited = {step for row, _ in table() for step in row}
    assert numbered(section)
    assert numbered(section) <= cited


@pytest.mark.parametrize("model", MODELS)
def test_a_model_cites_what_the_table_gives_to_it(model: str) -> None:
    given = {step for row, cell in table() for step in row if model in {name for name, _ in named(cell)}}
    assert given == steps(comments(model))


@pytest.mark.parametrize("model", MODELS)
def test_labels_of_comments_are_unlike(model: str) -> None:
    found = re.findall(r"\blabel ([a-z_]+)", comments(model))
    assert sorted(found) == sorted(set(found))
