"""Peers and hpo-pipe are measured alike: the same decisions give the same row in both simulators."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.quality.accounting import Goal, Ran, measured
from tests.benchmarks.quality.asked import AskedStudy
from tests.benchmarks.quality.ours import simulated, study
from tests.benchmarks.quality.peers.random_search import RandomSearch
from tests.benchmarks.quality.tasks import Task, tasks
from tests.unit.quality.worlds import Decided, small_task

WORKERS = 5


def rows(task: Task, ours: Ran, theirs: Ran, goal: Goal) -> tuple[dict, dict]:
    return measured(task, ours, goal), measured(task, theirs, goal)


def assert_alike(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        if name == "steps":
            assert len(one[name]) == len(other[name])
            for step, same in zip(one[name], other[name], strict=True):
                assert step == pytest.approx(same, rel=1e-6)
        else:
            assert one[name] == pytest.approx(other[name], rel=1e-6, abs=1e-12), name


@pytest.mark.parametrize("task", [small_task(True), small_task(False), tasks()["lcbench:167104"]])
def test_the_same_full_trainings(task):
    goal = Goal.of(task, 12, WORKERS)
    tuner = RandomSearch(task, 3, WORKERS)
    wishes = [dict(tuner.ask().parameters) for _ in range(60)]
    ours = replace(study(task, {"scheduler": "none", "searcher": "random"}, 0), enqueued=tuple(wishes))
    theirs = AskedStudy(RandomSearch(task, 3, WORKERS), task, WORKERS).until(goal.reached)
    one, other = rows(task, simulated(ours, task, WORKERS, goal), theirs, goal)
    assert_alike(one, other)
    assert one["trained"] > 1 and one["lasted"] >= 1 and one["epochs"]["100"] < one["epochs"]["2"]


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("workers", [1, WORKERS, 40])
@pytest.mark.parametrize(
    "algorithm",
    [
        {"scheduler": "successive_halving", "searcher": "random"},
        {"scheduler": "asha", "searcher": "random"},
        {"scheduler": "hyperband", "searcher": "sobol"},
    ],
    ids=lambda algorithm: algorithm["scheduler"],
)
def test_the_same_promotions(algorithm, workers, even):
    task = small_task(even)
    goal = Goal.of(task, 12, workers)
    ours = study(task, algorithm, 7)
    theirs = AskedStudy(Decided(ours, task, workers), task, workers).until(goal.reached)
    one, other = rows(task, simulated(ours, task, workers, goal), theirs, goal)
    assert_alike(one, other)
    assert one["trials"] > 20


def test_the_same_stops():
    task = small_task(False)
    goal = Goal.of(task, 12, WORKERS)
    ours = study(task, {"scheduler": "asha_stopping", "searcher": "random"}, 7)
    theirs = AskedStudy(Decided(ours, task, WORKERS), task, WORKERS).until(goal.reached)
    one, other = rows(task, simulated(ours, task, WORKERS, goal), theirs, goal)
    assert_alike(one, other)
    assert one["trials"] > 20, "most are stopped early"
