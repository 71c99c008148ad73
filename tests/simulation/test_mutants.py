"""The test of the test: each planted fault of the protocol is found, and without one the same seeds are clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import storage_schema
from tests.simulation.history import run_seed
from tests.simulation.hunt import hunt, hunt_singly
from tests.simulation.mutants import HARMLESS, MUTANTS
from tests.simulation.test_simulation import SEEDS_IN_ALL

OUR_MISTAKES = re.compile(r"AttributeError|TypeError|NameError|AssertionError|KeyError")
"""What a fault that was planted badly would die of, instead of being found."""
PROTOCOL = Path(storage_schema.__file__).with_name("PROTOCOL.md")
ONE_FAULT_IS_ENOUGH = ("another-token", "done-behind-the-fence", "no-sweep", "own-entry-believed")
"""Random seeds seldom hit the one call at which these do harm; one fault at every call does, and shows which it is."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    catch = hunt(name, to_the_end=False)
    assert catch.found, f"{MUTANTS[name].what} Not found in {catch.tried} seeds"
    assert not OUR_MISTAKES.search(catch.words), catch.words


def test_without_a_planted_fault_the_same_seeds_are_clean() -> None:
    """Those are among the seeds of `test_nothing_is_lost_in_any_weather`."""
    seeds = {seed for mutant in MUTANTS.values() for seed in mutant.candidates()}
    assert max(seeds) < SEEDS_IN_ALL


@pytest.mark.parametrize("name", HARMLESS)
def test_what_the_protocol_shrugs_off_does_no_harm(name: str) -> None:
    for seed in HARMLESS[name].candidates():
        with HARMLESS[name].how():
            outcome = run_seed(seed)
        assert not outcome.violations, (outcome.violations, outcome.replay)


def test_a_planted_fault_is_taken_out_again() -> None:
    before = run_seed(3).digest
    for mutant in (*MUTANTS.values(), *HARMLESS.values()):
        with mutant.how():
            pass
    assert run_seed(3).digest == before


def test_each_planted_fault_names_a_rule_that_there_is() -> None:
    sections = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", PROTOCOL.read_text(), re.MULTILINE))
    for name, mutant in (MUTANTS | HARMLESS).items():
        assert mutant.rule.partition(",")[0].partition(":")[0] in sections, f"{name}: {mutant.rule}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ONE_FAULT_IS_ENOUGH)
def test_one_fault_at_every_call_finds_what_random_seeds_find_late(name: str) -> None:
    assert hunt_singly(name, stride=1, to_the_end=False).found
