"""Spaces as they are stored, and what is decided on them, are pinned: a change makes old logs fail their replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_pipe.space import Space
from hpo_pipe.toy_world import CONDITIONAL, FORBIDDEN, simulated, toy_study
from storage_schema.records import Issue, Limits

PINNED = Path(__file__).parent / "records" / "spaces.json"


def decided(searcher: str) -> list[dict[str, object]]:
    study = toy_study(
        searcher={"name": searcher}, space=CONDITIONAL, constraints=FORBIDDEN, limits=Limits(trials=8)
    )
    issues = [d for m in simulated(study) for d in m.entry.decisions if isinstance(d, Issue)]
    first = {
        issue.trial: {"parameters": issue.parameters, "reason": issue.reason} for issue in reversed(issues)
    }
    return [first[number] for number in sorted(first)]


def test_a_stored_space_is_what_it_was() -> None:
    known = json.loads(PINNED.read_text())
    space = Space.from_json(known["space"], constraints=known["constraints"])
    assert (space.to_json(), space.constraints_json()) == (known["space"], known["constraints"])
    assert space == Space.from_json(CONDITIONAL, constraints=FORBIDDEN)


@pytest.mark.parametrize("searcher", ["random", "grid"])
def test_decisions_of_today_are_those_of_tomorrow(searcher: str) -> None:
    assert decided(searcher) == json.loads(PINNED.read_text())[searcher]


@pytest.mark.parametrize("constraints", [None, {}])
def test_spaces_of_before_are_read(constraints: object) -> None:
    before = [
        {"name": "lr", "type": "float", "min": 0.0001, "max": 0.1, "log": True},
        {"name": "n", "type": "int", "min": 1, "max": 9, "step": 2, "grid_points": 3},
        {"name": "act", "type": "categorical", "values": ["relu", "tanh"]},
    ]
    space = Space.from_json(before, constraints=constraints)
    assert (space.to_json(), space.constraints_json(), space.has_priors) == (before, {}, False)
