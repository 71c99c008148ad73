"""SMAC's multi-fidelity facade: a random forest, and Hyperband as its intensifier."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.spaces import ETA, config_space, identity, whole_epochs
from tests.benchmarks.quality.tasks import EPOCHS, Task


class Smac:
    """With its own defaults; its record is not saved after every result, which is no part of the search."""

    package = "smac"

    def __init__(self, task: Task, seed: int, workers: int) -> None:
        warnings.simplefilter("ignore")
        from smac import MultiFidelityFacade, Scenario
        from smac.runhistory import TrialValue

        self._value = TrialValue
        scenario = Scenario(
            config_space(task, seed),
            deterministic=True,
            n_trials=100_000,
            min_budget=1,
            max_budget=EPOCHS,
            seed=seed,
            n_workers=1,
            output_directory=Path(tempfile.mkdtemp()),
        )
        self._smac: Any = MultiFidelityFacade(
            scenario,
            lambda config, seed, budget: 0.0,
            intensifier=MultiFidelityFacade.get_intensifier(scenario, eta=ETA),
            overwrite=True,
            logging_level=logging.ERROR,
        )
        self._smac._optimizer.save = lambda: None

    def ask(self) -> Job:
        info = self._smac.ask()
        parameters = dict(info.config)
        return Job(parameters, identity(parameters), whole_epochs(info.budget), payload=info)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        self._smac.tell(job.payload, self._value(cost=loss, time=float(epoch)))
        return False
