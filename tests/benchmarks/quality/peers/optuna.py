"""Optuna: a sampler, and a pruner that is asked at every rung."""

from __future__ import annotations

import warnings
from typing import Any

from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.peers.spaces import ETA, RUNGS
from tests.benchmarks.quality.tasks import EPOCHS, Task


class Optuna:
    """``sampler``: tpe (constant liar, as its documentation advises for parallel runs) or random.

    ``pruner``: none, sha (successive halving) or hyperband.
    """

    package = "optuna"

    def __init__(self, task: Task, seed: int, workers: int, *, sampler: str, pruner: str) -> None:
        import optuna

        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._pruned = optuna.trial.TrialState.PRUNED
        samplers: dict[str, Any] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        pruners: dict[str, Any] = {
            "none": optuna.pruners.NopPruner,
            "sha": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(
                min_resource=1, max_resource=EPOCHS, reduction_factor=ETA
            ),
        }
        self._stops = RUNGS if pruner != "none" else ()
        self._study = optuna.create_study(
            sampler=samplers[sampler](), pruner=pruners[pruner](), direction="minimize", study_name=f"s{seed}"
        )
        kinds: dict[str, Any] = {
            "int": optuna.distributions.IntDistribution,
            "float": optuna.distributions.FloatDistribution,
        }
        self._space = {
            p["name"]: kinds[p["type"]](p["min"], p["max"], log=p.get("log", False)) for p in task.space
        }

    def ask(self) -> Job:
        trial = self._study.ask(self._space)
        return Job(dict(trial.params), trial.number, EPOCHS, self._stops, trial)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        trial = job.payload
        if self._stops:
            trial.report(loss, epoch)
        if epoch >= EPOCHS:
            self._study.tell(trial, loss)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=self._pruned)
            return False
        return True
