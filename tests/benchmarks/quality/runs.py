"""Which runs are asked for, and the file of those that are done: one JSON object in a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest
from tests.benchmarks.quality.peers import PEERS

OURS: Mapping[str, Json] = {
    "auto": "auto",
    "asha": {"scheduler": "asha", "searcher": "random"},
    "asha-stopping": {"scheduler": "asha_stopping", "searcher": "random"},
    "bohb": {"scheduler": "hyperband", "searcher": "kde"},
    "asha-gp": {"scheduler": "asha", "searcher": "gp"},
    "asha-freeze-thaw": {"scheduler": "asha", "searcher": "freeze_thaw"},
    "asha-forest": {"scheduler": "asha", "searcher": "forest"},
    "full-random": {"scheduler": "none", "searcher": "random"},
    "full-tpe": {"scheduler": "none", "searcher": "tpe"},
}
"""hpo-pipe's tuners: ``[algorithm]`` of each."""
PER_WORKER = 3
"""Full trainings for each worker, at least: a budget that is good for 8 workers is none for 512."""

Key = tuple[str, str, int, int, float]
"""Tuner, task, workers, seed, budget."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    tuners: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: int
    workers: tuple[int, ...]
    budget: float
    """Full trainings."""
    algorithms: Mapping[str, Json]
    """Of the tuners that are hpo-pipe's."""

    def __iter__(self) -> Iterator[Key]:
        """Yield all runs, seeds outermost: whenever it ends, every tuner and task has been tried alike."""
        for seed in range(self.seeds):
            for workers in self.workers:
                for tuner in self.tuners:
                    for task in self.tasks:
                        yield tuner, task, workers, seed, budget_for(self.budget, workers)

    def run(self, key: Key) -> dict[str, Any]:
        """Return what a child is told."""
        tuner, task, workers, seed, budget = key
        told: dict[str, Any] = {
            "tuner": tuner,
            "task": task,
            "workers": workers,
            "seed": seed,
            "budget": budget,
        }
        return told | ({"algorithm": self.algorithms[tuner]} if tuner in self.algorithms else {})


def budget_for(budget: float, workers: int) -> float:
    """Return the budget, in full trainings, with so many workers."""
    return max(budget, float(PER_WORKER * workers))


def key_of(row: Mapping[str, Any]) -> Key:
    """Return which run a row is of."""
    return row["tuner"], row["task"], row["workers"], row["seed"], float(row["budget"])


def read(path: Path) -> dict[Key, dict[str, Any]]:
    """Return the rows of a file, of each run the last one; a line that was cut off by a crash is left out."""
    found: dict[Key, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[key_of(row)] = row
    return found


def batches(wanted: Wanted, done: Mapping[Key, Any], again: Sequence[str] = ()) -> Iterator[list[Key]]:
    """Yield the runs that are missing, those of one tuner and seed together."""
    batch: list[Key] = []
    for key in wanted:
        if key in done and key[0] not in again:
            continue
        if batch and _together(batch[-1]) != _together(key):
            yield batch
            batch = []
        batch.append(key)
    if batch:
        yield batch


def _together(key: Key) -> tuple[object, ...]:
    tuner, _, workers, seed, _ = key
    return tuner, workers, seed


def named_tuners(text: str, added: Mapping[str, Json]) -> tuple[tuple[str, ...], dict[str, Json]]:
    """Return tuners by name, and the algorithms of those that are ours; ``scheduler+searcher`` is one of ours.

    Raises:
        UserError: a name that is not known.
    """
    ours: dict[str, Json] = {**OURS, **added}
    names = tuple(text.split(","))
    for name in names:
        scheduler, plus, searcher = name.partition("+")
        if plus:
            ours[name] = {"scheduler": scheduler, "searcher": searcher}
        elif name not in ours and name not in PEERS:
            raise UserError(f"--tuners: {name} is not known{nearest(name, [*ours, *PEERS])}")
    return names, {name: ours[name] for name in names if name in ours}


def chosen_tasks(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return tasks: lcbench, taskset, all, dev (those to tune on), held-out (the others), or names with commas.

    Raises:
        UserError: a name that is not known.
    """
    families = {name: tuple(t for t in known if t.startswith(f"{name}:")) for name in ("lcbench", "taskset")}
    if text in families:
        return families[text]
    if text in ("all", "dev", "held-out"):
        return tuple(t for t in known if text == "all" or half(t, known) == text)
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise UserError(f"--tasks: {name} is not known{nearest(name, list(known))}")
    return names


def half(task: str, known: Sequence[str]) -> str:
    """Return ``dev`` or ``held-out``: every other task of a family, the first one being ``dev``."""
    family = [t for t in known if t.partition(":")[0] == task.partition(":")[0]]
    return "held-out" if family.index(task) % 2 else "dev"
