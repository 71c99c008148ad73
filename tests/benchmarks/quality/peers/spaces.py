"""What peers have in common: the rungs, and a task's space as ConfigSpace has it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from tests.benchmarks.quality.tasks import EPOCHS, Task

ETA = 3
RUNGS = (1, 3, 9, 27, EPOCHS)


def config_space(task: Task, seed: int) -> Any:
    """Return the space as a ``ConfigSpace.ConfigurationSpace``."""
    import ConfigSpace

    space = ConfigSpace.ConfigurationSpace(seed=seed)
    kinds = {
        "int": ConfigSpace.UniformIntegerHyperparameter,
        "float": ConfigSpace.UniformFloatHyperparameter,
    }
    space.add([kinds[p["type"]](p["name"], p["min"], p["max"], log=p.get("log", False)) for p in task.space])
    return space


def whole_epochs(budget: float) -> int:
    """Return a peer's budget, which may have a fraction, in epochs."""
    return min(EPOCHS, max(1, round(float(budget))))


def identity(parameters: Mapping[str, Any]) -> Hashable:
    """Return what two jobs of the same configuration share, for peers that give configurations no number."""
    return tuple(sorted(parameters.items()))
