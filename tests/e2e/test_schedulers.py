"""Every scheduler on storage: a small study through real processes, killed and resumed in the middle, and replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.coordinator.log import read_study
from hpo_pipe.creation import create, drafted
from hpo_pipe.schedulers import SCHEDULERS
from storage_schema.history import History
from storage_schema.records import Entry, Issue, StopTrial
from storage_schema.store import Store, open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet
from tests.e2e.lineage import state_of
from tests.waiting import wait_until

TRIALS, TOP, SLOTS = 12, 9, 3
# What is promoted, and what comes late, waits until everybody was killed: the middle of a study does not pass by.
TRAIN = """
import json, time
from pathlib import Path
from tests.e2e.slow_training import step

def main(trial):
    while Path("hold").exists() and (trial.checkpoint or trial.number >= 6):
        time.sleep(0.02)
    state = json.loads((trial.checkpoint / "state").read_text()) if trial.checkpoint else 0.3
    for epoch in trial.steps():
        time.sleep(0.05)
        state = step(state, trial.params["lr"])
        trial.report(loss=state)
        with trial.save_checkpoint() as folder:
            (folder / "state").write_text(json.dumps(state))
"""
VARIANTS = ("d_asha", "pasha", "pb2", "curve_fitting", "curve_regression")
"""They give workers and coordinators nothing to do that the others do not; 4 s each."""
ACT_EARLY = {
    "median": {"min_trials": 2, "grace": 2},
    "successive_halving": {"rounds": 1, "size": TRIALS},
    "pbt": {"population_size": 4, "interval": 3},
    "pb2": {"population_size": 4, "interval": 3},
}
"""Options with which a scheduler has something to decide in a study of a few trials."""


def study(name: str) -> dict[str, Any]:
    return {
        "name": "schedulers",
        "function": "train:main",
        "seed": 5,
        "metric": {"name": "loss"},
        "parameters": {"lr": {"type": "float", "min": 0.0, "max": 0.2}},
        "resource": {"name": "epoch", "max": TOP},
        "algorithm": {"scheduler": name, "searcher": "random", **ACT_EARLY.get(name, {})},
        "limits": {"trials": TRIALS},
        "worker": {"flush": 0.2, "lease": 1.2, "grace": 0.5, "tick": 0.1, "max_attempts": 50},
    }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "train.py").write_text(TRAIN)
    root = Path(__file__).parent.parent.parent
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, {"PYTHONPATH": str(root)}, cwd=tmp_path)
    yield fleet
    fleet.close()


def first_or_slow(name: str) -> object:
    slow = [pytest.mark.slow, pytest.mark.timeout(120)] if name in VARIANTS else []
    return pytest.param(name, marks=slow)


@pytest.mark.parametrize("name", [*map(first_or_slow, SCHEDULERS)])
def test_a_scheduler_survives_the_death_of_all_processes(name: str, fleet: Fleet) -> None:
    store = open_store(fleet.url)
    create(store, drafted(study(name)))
    hold = fleet.folder / "hold"
    hold.touch()
    first = begin(fleet)
    wait_until(lambda: under_way(store), 30, lambda: f"the middle of the study\n{fleet.logs()}")
    for process in first:
        fleet.kill(process)
    middle = read_log(store)
    hold.unlink()
    last = begin(fleet)
    wait_until(
        lambda: all(fleet.processes[p].poll() is not None for p in last), 60, lambda: f"end\n{fleet.logs()}"
    )
    assert {fleet.processes[p].returncode for p in last} == {0}, fleet.logs()
    entries = read_log(store)
    assert len(entries) > len(middle), "the study was over before anybody was killed"
    assert audit(store, state_of) == []
    replayed = CliRunner().invoke(cli, ["replay", fleet.url])
    assert (replayed.exit_code, "0 of them otherwise" in replayed.output) == (0, True), replayed.output
    DECIDED.get(name, trained_whole)(folded(store, entries), entries)


def begin(fleet: Fleet) -> list[str]:
    return [fleet.start("coordinator", "--until-done"), fleet.start("worker", "--slots", str(SLOTS))]


def under_way(store: Store) -> bool:
    """Whether some trials have ended, and others are held."""
    entries = read_log(store)
    settled = sum(len(entry.facts.settled) for entry in entries if entry.facts)
    issued = sum(len(list(entry.issues())) for entry in entries)
    return settled >= 4 and issued > settled


def folded(store: Store, entries: list[Entry]) -> History:
    history = History(read_study(store))
    for entry in entries:
        history.fold(entry)
    return history


# what each has to have decided


def promoted(history: History, entries: list[Entry]) -> None:
    assert Counter(len(trial.specs) > 1 for trial in history.trials)[True] >= 2


def stopped(history: History, entries: list[Entry]) -> None:
    decisions = [d for entry in entries if entry.author == "coordinator" for d in entry.decisions]
    stops = {d.trial for d in decisions if isinstance(d, StopTrial)}
    assert stops
    # ASHA may stop all: where reports come together, the best at one rung need not be so at the next.
    assert len(stops) < TRIALS or history.study.scheduler["name"] == "asha_stopping"
    assert all(d.to == TOP for d in decisions if isinstance(d, Issue))


def cloned(history: History, entries: list[Entry]) -> None:
    clones = [trial for trial in history.trials if trial.parent is not None]
    assert clones and all(trial.specs[0].issue.start > 0 for trial in clones)


def trained_whole(history: History, entries: list[Entry]) -> None:
    assert history.closed and history.trials


DECIDED: dict[str, Callable[[History, list[Entry]], None]] = {
    "median": stopped,
    "asha_stopping": stopped,
    "pbt": cloned,
    "pb2": cloned,
    **dict.fromkeys(("asha", "d_asha", "pasha", "hyperband", "successive_halving"), promoted),
}
