"""Studies that start from others, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hpo_pipe.toy_world import simulated, toy_measures, toy_objective, toy_study
from storage_schema.codec import Json
from storage_schema.records import Curve, Study, WarmResult, WarmSource, WarmStart

Loss = Callable[[Mapping[str, Json], int], float]


def result(trial: int, parameters: Mapping[str, Json], failed: bool = False, **curves: Curve) -> WarmResult:
    return WarmResult(trial=trial, parameters=dict(parameters), curves=curves, failed=failed)


def source(results: Iterable[WarmResult], name: str = "parent", rungs=(1, 3, 9), first=()) -> WarmSource:
    return WarmSource(
        url=f"memory://{name}",
        name=name,
        sha256="00",
        head=7,
        resource="epoch",
        rungs=rungs,
        first=tuple(first),
        results=tuple(results),
    )


def searched(study: Study, loss: Loss = toy_objective, trials: int = 24, seed: int = 5) -> list[WarmResult]:
    """Return the results of a random search over a toy study's space, at its rungs."""
    other = toy_study(
        searcher={"name": "random"}, space=study.space, constraints=study.constraints, seed=seed
    )
    history = list(simulated(other))[-1].view.history
    found = []
    for trial in history.trials[:trials]:
        levels = [r.level for r in history.rungs[: trial.rung + 1]]
        curves = {"loss": tuple((level, loss(trial.parameters, level)) for level in levels)}
        others = toy_measures(trial.parameters)
        curves |= {name: tuple((level, value) for level in levels) for name, value in others.items()}
        found.append(result(trial.number, trial.parameters, trial.number % 11 == 4, **curves))
    return found


def warmed(study: Study, *sources: WarmSource, mode: str = "transfer", best_first: int = 1) -> Study:
    return replace(study, warm_start=WarmStart(mode=mode, best_first=best_first, sources=sources))
