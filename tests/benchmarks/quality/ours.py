"""hpo-pipe's searches, as a study file asks for them, in its own simulator."""

from __future__ import annotations

from typing import Any

from hpo_pipe.simulate.world import SimulatedStudy
from hpo_pipe.study_file import default_timing, read_study_mapping
from storage_schema.codec import Json
from storage_schema.keys import MAX_TRIAL
from storage_schema.records import Study
from tests.benchmarks.quality.accounting import Goal, Ran
from tests.benchmarks.quality.tasks import EPOCHS, Task


def study(task: Task, algorithm: Json, seed: int) -> Study:
    """Return the study that a file with this ``[algorithm]`` makes; nothing in it tells the budget.

    Raises:
        StudyFileError: there is no such algorithm, or it has no such option.
    """
    tables: dict[str, Json] = {
        "name": "quality",
        "function": "training:train",
        "seed": seed,
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {p["name"]: {k: v for k, v in p.items() if k != "name"} for p in task.space},
        "resource": {"name": "epoch", "max": EPOCHS},
        "algorithm": algorithm,
        "limits": {"trials": MAX_TRIAL},
    }
    draft = read_study_mapping(tables, "quality.toml")
    timing = default_timing("memory://quality")
    return draft.study(token="0", created_at=0.0, seed=seed, proof={}, timing=timing)


def search(task: Task, algorithm: Json, seed: int, workers: int, goal: Goal) -> Ran:
    """Run one search."""
    return simulated(study(task, algorithm, seed), task, workers, goal)


def simulated(of: Study, task: Any, workers: int, goal: Goal) -> Ran:
    """Run a study in a world of curves."""
    run = SimulatedStudy(of, task, workers).until(lambda run: goal.reached(run.units, run.ended_at))
    pieces = ((piece.times, piece.losses) for piece in run.pieces)
    return Ran.of(pieces, run.ended_at, run.idle_share, len(run.history.trials))
