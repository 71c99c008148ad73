"""Random configurations, each trained to the end: what every other search has to beat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.tasks import EPOCHS, Task


class RandomSearch:
    """Needs numpy alone."""

    package = None

    def __init__(self, task: Task, seed: int, workers: int) -> None:
        self._space = task.space
        self._rng = np.random.default_rng(seed)
        self._asked = 0

    def ask(self) -> Job:
        self._asked += 1
        draws = self._rng.random(len(self._space)).tolist()
        parameters = {p["name"]: drawn(p, u) for p, u in zip(self._space, draws, strict=True)}
        return Job(parameters, self._asked, EPOCHS)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        return False


def drawn(parameter: Mapping[str, Any], u: float) -> Any:
    """Return a parameter's value at a place in [0, 1)."""
    low, high = parameter["min"], parameter["max"]
    if parameter.get("log"):
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
        return min(high, max(low, round(value) if parameter["type"] == "int" else value))
    if parameter["type"] == "int":
        return min(high, int(low + u * (high - low + 1)))
    return low + u * (high - low)
