"""Microseconds of one `trial.report` in a script under a worker, beside Optuna's with its file journal."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.tables import heading, median, quantile, table

ROUNDS = 20


def per_call_us(call: Callable[[int], object], calls: int) -> list[float]:
    """Return the mean cost of a call, microseconds, in each of the rounds."""
    means = []
    for round in range(ROUNDS):
        begin = time.perf_counter()
        for number in range(round * calls, (round + 1) * calls):
            call(number)
        means.append(1e6 * (time.perf_counter() - begin) / calls)
    return means


def ours(folder: Path) -> dict[str, list[float]]:
    from hpo_pipe.trial import current_trial
    from storage_schema.trial_env import VARIABLE, TrialFile

    (folder / "checkpoints").mkdir()
    file = TrialFile(
        study="bench",
        trial=0,
        spec="00000000-000",
        attempt=1,
        parameters={"lr": 0.1},
        resource_name="step",
        start=0,
        to=10**9,
        objective="loss",
        goal="minimize",
        seed=1,
        metrics_file=str(folder / "metrics"),
        checkpoint_dir=str(folder / "checkpoints"),
        restored=None,
        stop_file=str(folder / "stop"),
    )
    (folder / "trial.json").write_bytes(file.to_bytes())
    os.environ[VARIABLE] = str(folder / "trial.json")
    trial = current_trial()
    many = {f"metric_{i}": i / 10 for i in range(10)}
    return {
        "report(loss=...)": per_call_us(lambda n: trial.report(loss=1.0 / (n + 1)), 2000),
        "report of 10 metrics": per_call_us(lambda n: trial.report(many), 1000),
        "report(value, step)": per_call_us(lambda n: trial.report(0.5, n), 1000),
    }


def optunas(folder: Path) -> dict[str, list[float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal"))
    study = optuna.create_study(storage=optuna.storages.JournalStorage(backend))
    trial = study.ask()
    return {"Optuna, report(value, step)": per_call_us(lambda n: trial.report(0.5, n), 25)}


def main() -> None:
    heading("report_cost", f"microseconds per call; {ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as name:
        measured = ours(Path(name))
        if importlib.util.find_spec("optuna"):
            measured |= optunas(Path(name))
    table(
        ["call", "median us", "90 % us"],
        [(name, median(means), quantile(means, 0.9)) for name, means in measured.items()],
    )


if __name__ == "__main__":
    main()
