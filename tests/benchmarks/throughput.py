"""No-op trials per second with 1, 2, 4 and 8 workers on a folder, beside Optuna with its file journal in the same run.

Both sides: one process per worker, random search, one report per trial, everything on this machine's disk; from the
first trial's start to the last one's end. In the command rows each trial starts one `sh`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.noop import MODES, run_noop
from tests.benchmarks.tables import heading, table

WORKERS = (1, 2, 4, 8)
TRIALS = {"warm function": 240, "command": 120}

OPTUNA_WORKER = """
import subprocess, sys
import optuna
path, trials, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
optuna.logging.set_verbosity(optuna.logging.ERROR)
backend = optuna.storages.journal.JournalFileBackend(path)
study = optuna.create_study(study_name="noop", load_if_exists=True, direction="minimize",
    storage=optuna.storages.JournalStorage(backend), sampler=optuna.samplers.RandomSampler())
def objective(trial):
    trial.suggest_float("x", 0, 1)
    value = 0.5
    if mode == "command":
        value = float(subprocess.run(["sh", "-c", "echo 0.5"], capture_output=True, check=True).stdout)
    trial.report(value, 0)
    return value
callback = optuna.study.MaxTrialsCallback(trials, states=(optuna.trial.TrialState.COMPLETE,))
study.optimize(objective, callbacks=[callback])
"""


def optuna_rate(folder: Path, mode: str, workers: int, trials: int) -> float:
    """Return Optuna's trials per second."""
    import optuna

    path = str(folder / "journal")
    command = [sys.executable, "-c", OPTUNA_WORKER, path, str(trials), mode]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(workers)]
    for process in processes:
        process.wait(110)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    done = [t for t in optuna.load_study(study_name="noop", storage=storage).trials if t.datetime_complete]
    begin = min(t.datetime_start for t in done if t.datetime_start)
    end = max(t.datetime_complete for t in done if t.datetime_complete)
    return len(done) / (end - begin).total_seconds()


def main() -> None:
    heading(
        "throughput", "no-op trials per second on a folder; 240 trials of a warm function, 120 of a command"
    )
    peer = importlib.util.find_spec("optuna") is not None
    rows = []
    for mode in MODES:
        for workers in WORKERS:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                ran = run_noop(
                    folder / "job", str(folder / "study"), mode, trials=TRIALS[mode], workers=workers
                )
                rate = ran.done / ran.busy_s
                other = optuna_rate(folder, mode, workers, TRIALS[mode]) if peer else "-"
            assert ran.done == TRIALS[mode], "a trial is missing"
            rows.append((f"{mode}, {workers} workers", rate, ran.whole_s, other))
    table(["", "hpo-pipe per s", "whole run s", "Optuna per s"], rows)


if __name__ == "__main__":
    main()
