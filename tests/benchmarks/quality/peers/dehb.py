"""DEHB: differential evolution over Hyperband's brackets."""

from __future__ import annotations

import tempfile
import warnings
from typing import Any

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.spaces import ETA, config_space, identity, whole_epochs
from tests.benchmarks.quality.tasks import EPOCHS, Task


class Dehb:
    """Told how many workers there are, which sets how far ahead it opens brackets, but without its Dask cluster."""

    package = "dehb"

    def __init__(self, task: Task, seed: int, workers: int) -> None:
        warnings.simplefilter("ignore")
        import dehb.optimizers.dehb as module
        from dehb import DEHB
        from loguru import logger

        logger.remove()
        module.Client = _NoCluster
        self._dehb: Any = DEHB(
            cs=config_space(task, seed),
            dimensions=len(task.space),
            min_fidelity=1,
            max_fidelity=EPOCHS,
            eta=ETA,
            f=lambda *args: None,
            n_workers=workers,
            seed=seed,
            output_path=tempfile.mkdtemp(),
            save_freq="end",
        )
        logger.remove()

    def ask(self) -> Job:
        info = self._dehb.ask()
        parameters = dict(info["config"])
        return Job(parameters, identity(parameters), whole_epochs(info["fidelity"]), payload=info)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        self._dehb.tell(job.payload, {"fitness": loss, "cost": float(epoch)})
        return False


class _NoCluster:
    """In place of Dask's client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass
