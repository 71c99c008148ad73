"""HpBandSter's BOHB: its model and its synchronous brackets, its Master's loop without the network."""

from __future__ import annotations

import logging
import random
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.densities import quick_densities
from tests.benchmarks.quality.peers.spaces import ETA, config_space, whole_epochs
from tests.benchmarks.quality.tasks import EPOCHS, Task


class HpBandSter:
    """BOHB as published; a free worker takes the first run of the oldest bracket that has one."""

    package = "hpbandster"

    def __init__(self, task: Task, seed: int, workers: int) -> None:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        from hpbandster.core.master import Master
        from hpbandster.optimizers.bohb import BOHB

        Master.__init__ = _without_network
        quick_densities()
        np.random.seed(seed)
        random.seed(seed)
        self._names = [p["name"] for p in task.space]
        space = config_space(task, seed)
        self._bohb = BOHB(configspace=space, eta=ETA, min_budget=1, max_budget=EPOCHS)
        self._brackets: list[Any] = []

    def ask(self) -> Job:
        while True:
            for bracket in self._brackets:
                run = None if bracket.is_finished else bracket.get_next_run()
                if run is not None:
                    number, config, budget = run
                    parameters = {name: config[name] for name in self._names}
                    return Job(parameters, number, whole_epochs(budget), payload=run)
            self._brackets.append(self._bohb.get_next_iteration(len(self._brackets), {}))

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        number, config, budget = job.payload
        done = SimpleNamespace(
            id=number,
            kwargs={"config": config, "budget": budget},
            timestamps={},
            exception=None,
            result={"loss": loss, "info": {}},
        )
        self._brackets[number[0]].register_result(done)
        self._bohb.config_generator.new_result(done)
        return False


def _without_network(master: Any, config_generator: Any = None, **_: Any) -> None:
    master.config_generator, master.config = config_generator, {}
