"""NePS: one of its optimizers by name."""

from __future__ import annotations

import logging
import random
import warnings
from typing import Any

import numpy as np

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.spaces import identity, whole_epochs
from tests.benchmarks.quality.tasks import EPOCHS, Task


class Neps:
    """``name``: priorband, its default with a fidelity; hyperband, asha."""

    package = "neural-pipeline-search"

    def __init__(self, task: Task, seed: int, workers: int, *, name: str) -> None:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        import neps
        import torch
        from neps.optimizers import load_optimizer
        from neps.optimizers.ask_and_tell import AskAndTell
        from neps.space.parameters import HPOFloat, HPOInteger

        torch.set_num_threads(1)
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        kinds: dict[str, Any] = {"int": HPOInteger, "float": HPOFloat}
        space = {p["name"]: kinds[p["type"]](p["min"], p["max"], log=p.get("log", False)) for p in task.space}
        space["epoch"] = HPOInteger(1, EPOCHS, is_fidelity=True)
        self._neps = AskAndTell(load_optimizer((name, {}), neps.space.SearchSpace(space))[0])

    def ask(self) -> Job:
        trial = self._neps.ask()
        parameters = dict(trial.config)
        epochs = whole_epochs(parameters.pop("epoch"))
        return Job(parameters, identity(parameters), epochs, payload=trial)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        self._neps.tell(job.payload, {"objective_to_minimize": loss, "cost": float(epoch)})
        return False
