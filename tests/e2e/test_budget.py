"""A study and a worker that end when the money is spent: real processes over a folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_pipe.replay import replay
from storage_schema.chain import read_chain
from storage_schema.keys import STUDY
from storage_schema.records import Link, LinkKind, SettledSpec, Study
from storage_schema.store import Blob, Store, open_store
from tests.e2e.accounting import read_log
from tests.e2e.fleet import SCRIPT, Fleet, hpo_pipe
from tests.e2e.fleet import STUDY as TEXT
from tests.waiting import wait_until

A_SECOND = "3600"
"""Dollars for an hour: one for each second."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, epoch_s=0.1)
    yield fleet
    fleet.close()


def create(fleet: Fleet, limits: str, scheduler: str = "none") -> Store:
    """Create a study with these limits, one line each."""
    text = TEXT.format(python=sys.executable, script=SCRIPT, trials=1, scheduler=scheduler)
    path = fleet.folder / "study.toml"
    path.write_text(text.replace("trials = 1\n", limits))
    hpo_pipe("create", str(path), fleet.url)
    return open_store(fleet.url)


def ended(fleet: Fleet, name: str) -> int:
    process = fleet.processes[name]
    wait_until(lambda: process.poll() is not None, 60, lambda: f"the end of {name}\n{fleet.logs()}")
    assert process.returncode is not None
    return process.returncode


def settled(store: Store) -> list[SettledSpec]:
    return [fact for entry in read_log(store) if entry.facts for fact in entry.facts.settled]


@pytest.mark.timeout(120)
def test_a_study_ends_by_its_budget(fleet: Fleet) -> None:
    store = create(fleet, "trials = 1000\ncost = 4\n")
    coordinator = fleet.start("coordinator", "--until-done")
    workers = [fleet.start("worker", "--price-per-hour", A_SECOND) for _ in range(2)]
    assert [ended(fleet, name) for name in (*workers, coordinator)] == [0, 0, 0]
    status = json.loads(hpo_pipe("status", fleet.url, "--json"))
    assert status["state"] == "finished"
    assert status["reason"].startswith("the budget of $4.00 was reached: training has cost $4.")
    assert 4 <= status["cost"] < 9  # what was under way was stopped, and is paid
    assert status["unpriced_attempts"] == 0
    facts = settled(store)
    assert status["cost"] == pytest.approx(sum(fact.cost for fact in facts), abs=1e-4)
    assert all(fact.cost == pytest.approx(fact.wall_s, abs=0.01) for fact in facts if fact.outcome == "done")
    assert status["counts"]["COMPLETE"] >= 2
    assert re.search(r"cost: 4\S* of 4 dollars \(1\d\d %\)", hpo_pipe("limits", fleet.url))
    found = store.get(STUDY)
    assert isinstance(found, Blob)
    assert list(replay(Study.from_bytes(found.data), read_log(store))) == []


@pytest.mark.timeout(120)
def test_a_worker_without_a_price_leaves_a_study_with_a_budget_alone(fleet: Fleet) -> None:
    store = create(fleet, "trials = 1\ncost = 4\n")
    fleet.start("coordinator", "--until-done")
    name = fleet.start("worker")
    assert ended(fleet, name) == 78
    assert "the study has a budget, and nothing says what this machine costs: --price-per-hour" in fleet.log(
        name
    )
    assert list(store.list("chain/")) == []
    free = fleet.start("worker", "--price-per-hour", "0")
    assert ended(fleet, free) == 0
    assert [(fact.outcome, fact.priced, fact.cost) for fact in settled(store)] == [("done", 1, 0.0)]


@pytest.mark.timeout(120)
def test_a_worker_ends_with_0_once_its_own_money_is_spent_and_another_goes_on(fleet: Fleet) -> None:
    store = create(fleet, "trials = 4\n")
    fleet.start("coordinator", "--until-done")
    first = fleet.start("worker", "--price-per-hour", A_SECOND, "--max-cost", "1.3")
    assert ended(fleet, first) == 0
    assert "interrupted (--max-cost): giving back what is held" in fleet.log(first)
    (given_back,) = (chain for chain in chains(store) if chain[1:] and chain[1].kind is LinkKind.RELEASE)
    second = fleet.start("worker")
    assert ended(fleet, second) == 0
    again = read_chain(store, given_back[0].id.spec)
    assert [link.kind for link in again] == [LinkKind.CLAIM, LinkKind.RELEASE, LinkKind.CLAIM, LinkKind.DONE]
    assert again[2].checkpoint is not None
    (both,) = (fact for fact in settled(store) if fact.attempts == 2)
    assert (both.priced, both.unpriced) == (1, 1)
    assert both.cost == pytest.approx(again[1].wall_s, abs=0.01)


@pytest.mark.timeout(60)
def test_max_cost_needs_a_price(fleet: Fleet) -> None:
    create(fleet, "trials = 1\n")
    name = fleet.start("worker", "--max-cost", "2")
    assert ended(fleet, name) == 78
    assert "--max-cost 2, and nothing says what this machine costs: --price-per-hour" in fleet.log(name)


@pytest.mark.timeout(60)
def test_a_whole_study_on_this_machine_wants_its_price(fleet: Fleet) -> None:
    create(fleet, "trials = 1\ncost = 4\n")
    command = [sys.executable, "-m", "hpo_pipe", "run", str(fleet.folder / "study.toml"), fleet.url]
    options = ["--logs", str(fleet.folder / "logs")]
    refused = subprocess.run([*command, *options], capture_output=True, text=True, timeout=50, check=False)
    assert refused.returncode == 78
    assert "the study has a budget, and nothing says what this machine costs" in refused.stderr
    hpo_pipe(*command[3:], *options, "--price-per-hour", "0")
    assert json.loads(hpo_pipe("status", fleet.url, "--json"))["counts"]["COMPLETE"] == 1


def chains(store: Store) -> list[list[Link]]:
    specs = [spec for entry in read_log(store) for spec, _ in entry.issues()]
    return [chain for spec in specs if (chain := read_chain(store, spec))]
