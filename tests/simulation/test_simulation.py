"""Seeded histories of the real code in a simulated world; each seed prints the command that shows it again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.searchers import SEARCHERS
from tests.simulation.__main__ import SEEDS, kept_recipe
from tests.simulation.history import Outcome, run_recipe, run_seed
from tests.simulation.recipe import drawn
from tests.simulation.single import run_single, run_singles, singles

SEEDS_IN_ALL = 1000
"""`python -m tests.simulation --seeds 100000` runs more of them."""
BATCH = 20
RUNGS = [seed for seed in range(60) if drawn(seed).rungs]
FOR_SCHEDULERS, FOR_SEARCHERS = RUNGS[:8], [seed for seed in RUNGS if drawn(seed).trials >= 6][:3]
"""For all that are registered, also where the ordinary seeds do not draw them."""
STRIDE = 7
PARTS = 4
KEPT = sorted(SEEDS.glob("*.json"))
ROOT = Path(__file__).parent.parent.parent


def in_words(outcome: Outcome) -> str:
    return "\n".join([*outcome.violations, outcome.replay, outcome.recipe.text()])


@pytest.mark.parametrize("first", range(0, SEEDS_IN_ALL, BATCH))
def test_nothing_is_lost_in_any_weather(first: int) -> None:
    for seed in range(first, first + BATCH):
        outcome = run_seed(seed)
        assert not outcome.violations, in_words(outcome)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_in_any_weather(name: str) -> None:
    for seed in FOR_SCHEDULERS:
        outcome = run_recipe(replace(drawn(seed), scheduler=name))
        assert not outcome.violations, in_words(outcome)


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_in_any_weather(name: str) -> None:
    for seed in FOR_SEARCHERS:
        outcome = run_recipe(replace(drawn(seed), searcher=name))
        assert not outcome.violations, in_words(outcome)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    outcome = run_recipe(kept_recipe(path))
    assert not outcome.violations, in_words(outcome)


def test_one_seed_is_one_history() -> None:
    """Twice here, and once in a new process with other hashes: byte for byte the same."""
    seeds = (3, 4, 5, 8, 13, 21)
    here = [run_seed(seed).digest for seed in seeds]
    assert len(set(here)) == len(seeds)
    assert [run_seed(seed).digest for seed in seeds] == here
    program = f"from tests.simulation.history import run_seed\nfor s in {seeds}: print(run_seed(s).digest)"
    there = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert there.stdout.split() == here


@pytest.mark.parametrize("part", range(PARTS))
def test_one_fault_at_one_call_does_no_harm(part: int) -> None:
    """A sample of all calls x all faults; `python -m tests.simulation --single` tries every one."""
    for what in singles(STRIDE)[part::PARTS]:
        outcome = run_single(what)
        assert not outcome.violations, in_words(outcome)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_fault_at_any_call_does_no_harm() -> None:
    bad = [in_words(outcome) for outcome in run_singles(stride=1, jobs=2) if outcome.violations]
    assert not bad, bad[:3]
