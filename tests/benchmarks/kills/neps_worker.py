"""One NePS worker: ``python neps_worker.py FOLDER TRIALS EPOCHS [books]``.

As its documentation has it: ``neps.run`` is started with the same folder in as many processes as one likes, and a
process that is started again goes on with the run. Each evaluation has a folder of its own, where this one keeps
its checkpoints. Only finished evaluations count towards the total.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import neps

from tests.torture.training import EPOCH_S, Network, count_epoch, undisturbed


class Space(neps.PipelineSpace):
    lr = neps.Float(lower=1e-3, upper=0.1, log=True)
    momentum = neps.Float(lower=0.0, upper=0.95)


def train(epochs: int, pipeline_directory: Path, lr: float, momentum: float) -> float:
    """Train from the newest checkpoint in the evaluation's folder."""
    checkpoints = pipeline_directory / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    network = Network(lr, momentum)
    begin = max((int(path.name) for path in checkpoints.iterdir() if path.name.isdigit()), default=0)
    if begin:
        network.load(checkpoints / str(begin))
    loss = float("nan")
    for epoch in range(begin + 1, epochs + 1):
        time.sleep(float(os.environ[EPOCH_S]))
        loss = network.epoch()
        count_epoch(pipeline_directory.name, epoch)
        fresh = checkpoints / f".{epoch}.{os.getpid()}"
        fresh.mkdir()
        network.save(fresh)
        fresh.rename(checkpoints / str(epoch))
    return loss


def books(folder: Path, epochs: int) -> dict[str, int]:
    """Count what the run's record says."""
    frame, _ = neps.status(folder / "run", print_summary=False)
    states = [str(state).lower() for state in frame["state"]]
    finished = frame[[state.endswith("success") for state in states]]
    values = [
        row["objective_to_minimize"]
        != undisturbed({"lr": row["config.lr"], "momentum": row["config.momentum"]}, epochs)
        for _, row in finished.iterrows()
    ]
    return {
        "begun": len(frame),
        "finished": len(finished),
        "lost": len(frame) - len(finished),
        "left running": sum(state.endswith("evaluating") for state in states),
        "recorded twice": len(finished) - finished.index.nunique(),
        "wrong values": sum(values),
    }


def main(where: str, trials: str, epochs: str, *more: str) -> None:
    """Work, or with ``books`` count."""
    folder = Path(where)
    if more:
        print(json.dumps({"version": version("neural-pipeline-search"), **books(folder, int(epochs))}))
        return
    logging.basicConfig(level=logging.WARNING)

    def evaluate_pipeline(pipeline_directory: Path, lr: float, momentum: float) -> dict[str, Any]:
        return {"objective_to_minimize": train(int(epochs), pipeline_directory, lr, momentum), "cost": 1}

    neps.run(
        evaluate_pipeline=evaluate_pipeline,
        pipeline_space=Space(),
        root_directory=folder / "run",
        optimizer="random_search",
        total_evaluations_to_spend=int(trials),
        continue_until_max_evaluation_completed=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
