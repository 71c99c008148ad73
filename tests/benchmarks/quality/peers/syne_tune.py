"""Syne Tune: ASHA of the stopping kind, with the searchers of its ``baselines``."""

from __future__ import annotations

import datetime
import logging
import random
from typing import Any

import numpy as np

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.densities import quick_densities
from tests.benchmarks.quality.peers.spaces import ETA, RUNGS
from tests.benchmarks.quality.tasks import EPOCHS, Task

_CREATED = datetime.datetime(2020, 1, 1)


class SyneTune:
    """``name``: ASHA or BOHB, of its baselines."""

    package = "syne-tune"

    def __init__(self, task: Task, seed: int, workers: int, *, name: str) -> None:
        logging.disable(logging.WARNING)
        from syne_tune import config_space
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines

        if name == "BOHB":
            quick_densities()
        np.random.seed(seed)
        random.seed(seed)
        kinds: dict[tuple[str, bool], Any] = {
            ("int", False): config_space.randint,
            ("int", True): config_space.lograndint,
            ("float", False): config_space.uniform,
            ("float", True): config_space.loguniform,
        }
        space = {p["name"]: kinds[p["type"], bool(p.get("log"))](p["min"], p["max"]) for p in task.space}
        self._trial = Trial
        self._names = list(space)
        self._asked = 0
        self._scheduler = getattr(baselines, name)(
            config_space=space,
            metric="loss",
            do_minimize=True,
            random_seed=seed,
            time_attr="epoch",
            max_t=EPOCHS,
            grace_period=1,
            reduction_factor=ETA,
        )

    def ask(self) -> Job:
        found = self._scheduler.suggest()
        trial = self._trial(trial_id=self._asked, config=found.config, creation_time=_CREATED)
        self._asked += 1
        self._scheduler.on_trial_add(trial)
        parameters = {name: found.config[name] for name in self._names}
        return Job(parameters, trial.trial_id, EPOCHS, RUNGS, trial)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        result = {"loss": loss, "epoch": epoch}
        if epoch >= EPOCHS:
            self._scheduler.on_trial_complete(job.payload, result)
            return False
        decision = self._scheduler.on_trial_result(job.payload, result)
        if decision == "STOP":
            self._scheduler.on_trial_remove(job.payload)
        return bool(decision == "CONTINUE")
