"""One Optuna worker: ``python optuna_worker.py journal|rdb FOLDER TRIALS EPOCHS LEASE_S [create|books]``.

As Optuna's documentation has it: several processes share one storage (tutorial "Easy Parallelization"); on NFS and
the like a JournalStorage over a file; a heartbeat, and retries of stale trials from their checkpoints by the number
of the first trial, with an RDBStorage ("Early-stopping ... Retry a stale trial", pytorch_checkpoint.py). It ends with
MaxTrialsCallback.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import optuna
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from tests.torture.training import EPOCH_S, Network, count_epoch, undisturbed

NAME = "kill"


def storage(kind: str, folder: Path, lease_s: int) -> JournalStorage | RDBStorage:
    """Open the storage that all workers share."""
    if kind == "journal":
        return JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return RDBStorage(
        f"sqlite:///{folder / 'optuna.db'}",
        engine_kwargs={"connect_args": {"timeout": 60}},
        heartbeat_interval=2,
        grace_period=lease_s,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True),
    )


def train(trial: optuna.Trial, folder: Path, epochs: int) -> float:
    """Train from the newest checkpoint of the first trial that had these parameters."""
    lr = trial.suggest_float("lr", 1e-3, 0.1, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.95)
    number = _first(trial.storage.get_trial(trial._trial_id))
    checkpoints = folder / "checkpoints" / str(number)
    checkpoints.mkdir(parents=True, exist_ok=True)
    network = Network(lr, momentum)
    begin = max((int(path.name) for path in checkpoints.iterdir() if path.name.isdigit()), default=0)
    loss = undisturbed(trial.params, begin) if begin else float("nan")
    if begin:
        network.load(checkpoints / str(begin))
    for epoch in range(begin + 1, epochs + 1):
        time.sleep(float(os.environ[EPOCH_S]))
        loss = network.epoch()
        count_epoch(number, epoch)
        trial.report(loss, epoch)
        _save(network, checkpoints, epoch)
    return loss


def _first(trial: FrozenTrial) -> int:
    """Return the number of the trial that this one is a retry of, or its own."""
    number = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if number is None else number


def _save(network: Network, checkpoints: Path, epoch: int) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=".", dir=checkpoints))
    network.save(fresh)
    try:
        fresh.rename(checkpoints / str(epoch))
    except OSError:  # another process trains the same trial
        shutil.rmtree(fresh)


def books(study: optuna.Study, epochs: int) -> dict[str, int]:
    """Count what the study's record says."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state for trial in trials)
    first = {trial.number: _first(trial) for trial in trials}
    complete = Counter(first[t.number] for t in trials if t.state is TrialState.COMPLETE)
    wanted = list(range(1, epochs + 1))
    return {
        "begun": len(set(first.values())),
        "finished": len(complete),
        "lost": len(set(first.values()) - complete.keys()),
        "left running": states[TrialState.RUNNING],
        "recorded twice": sum(count > 1 for count in complete.values()),
        "wrong values": sum(
            t.state is TrialState.COMPLETE and t.value != undisturbed(t.params, epochs) for t in trials
        ),
        "gaps": sum(
            t.state is TrialState.COMPLETE and sorted(t.intermediate_values) != wanted for t in trials
        ),
    }


def main(kind: str, where: str, trials: str, epochs: str, lease_s: str, *more: str) -> None:
    """Work; with ``create`` make the study, with ``books`` count."""
    warnings.simplefilter("ignore")
    folder = Path(where)
    study = optuna.create_study(
        study_name=NAME,
        storage=storage(kind, folder, int(lease_s)),
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    if more == ("books",):
        print(json.dumps({"version": optuna.__version__, **books(study, int(epochs))}))
    elif not more and len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < int(trials):
        study.optimize(
            lambda trial: train(trial, folder, int(epochs)),
            callbacks=[MaxTrialsCallback(int(trials), states=(TrialState.COMPLETE,))],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
