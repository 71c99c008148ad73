"""Small studies in a world of simulated workers that end in any order: what the laws of algorithms are tried on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo_pipe.decide import decide
from hpo_pipe.registry import find, options_of, registered
from hpo_pipe.rungs import levels
from hpo_pipe.schedulers import GROUP, SCHEDULERS, kept_checkpoints, levels_of, milestones_of
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.history import History
from storage_schema.keys import CheckpointId, SpecId, manifest_key
from storage_schema.records import (
    CheckpointRef,
    Decision,
    Entry,
    Facts,
    Issue,
    Limits,
    Metric,
    Program,
    Progress,
    Resource,
    SettledSpec,
    Study,
)

Objective = Callable[[Mapping[str, Json], int], float | None]
"""(parameters, resource) to a value; NaN or infinity are reported as such, None is a trial that crashes."""

SPACE: tuple[Json, ...] = (
    {"name": "lr", "type": "float", "min": 1e-4, "max": 1e-1, "log": True},
    {"name": "layers", "type": "int", "min": 1, "max": 8},
    {"name": "size", "type": "ordinal", "values": [16, 32, 64]},
    {"name": "activation", "type": "categorical", "values": ["relu", "tanh"]},
    {"name": "momentum", "type": "constant", "value": 0.9},
)
CONDITIONAL: tuple[Json, ...] = (
    {
        "name": "lr",
        "type": "float",
        "min": 1e-4,
        "max": 1e-1,
        "log": True,
        "prior": {"value": 0.01, "confidence": "high"},
    },
    {"name": "layers", "type": "int", "min": 1, "max": 6},
    {"name": "optimizer", "type": "categorical", "values": ["sgd", "adam"], "probabilities": [1, 3]},
    {
        "name": "momentum",
        "type": "float",
        "min": 0.5,
        "max": 0.99,
        "scale": "reverse-log",
        "when": {"optimizer": "sgd"},
        "prior": {"value": 0.9},
    },
    {"name": "nesterov", "type": "bool", "when": {"momentum": {"min": 0.8}}},
    {
        "name": "size",
        "type": "ordinal",
        "values": [16, 32, 64],
        "when": {"layers": {"min": 3}},
        "prior": {"value": 32, "confidence": 0.6},
    },
)
"""Conditional parameters, one of them on a conditional one, and priors; for :data:`FORBIDDEN` beside it."""
FORBIDDEN: Json = {
    "forbidden": [{"optimizer": "adam", "lr": {"min": 0.05}}, {"layers": [5, 6], "size": 64}],
}
SPACES: dict[str, tuple[tuple[Json, ...], Json]] = {
    "plain": (SPACE, {}),
    "conditional": (CONDITIONAL, FORBIDDEN),
}
"""Spaces that the laws are to hold over, each with its constraints."""
METRICS: dict[str, tuple[Metric, ...]] = {
    "one": (Metric(name="loss"),),
    "several": (Metric(name="loss"), Metric(name="size", objective=True)),
    "bounded": (Metric(name="loss"), Metric(name="latency", max=3.0)),
    "both": (
        Metric(name="loss"),
        Metric(name="size", objective=True, max=7.0),
        Metric(name="speed", goal="maximize", objective=True),
        Metric(name="latency", min=1.0, max=3.0),
    ),
}
"""What the laws are to hold for: one objective or several, with and without bounds."""
MAX_ENTRIES = 5000
_NOBODY = "0"
_UNSEEN = ("rungs", "study", "touched", "_journal")


def toy_study(
    *,
    scheduler: Json = None,
    searcher: Json = None,
    space: tuple[Json, ...] = SPACE,
    constraints: Json = None,
    goal: str = "minimize",
    metrics: tuple[Metric, ...] = (),
    limits: Limits | None = None,
    top: int = 9,
    eta: int = 3,
    seed: int = 1,
) -> Study:
    """Return a small study; by default ASHA with Sobol points and 30 trials, for one loss with `goal`."""
    return Study(
        name="toy",
        token=_NOBODY,
        created_at=0.0,
        seed=seed,
        space=space,
        constraints=constraints or {},
        metrics=metrics or (Metric(name="loss", goal=goal),),
        resource=_resource(scheduler or {"name": "asha"}, top, eta),
        keep_checkpoints=_kept(scheduler or {"name": "asha"}),
        scheduler=scheduler or {"name": "asha"},
        searcher=searcher or {"name": "sobol"},
        limits=limits or Limits(trials=30),
        program=Program(function="train:main"),
    )


def _resource(scheduler: Json, top: int, eta: int) -> Resource:
    rungs, milestones = levels(1, top, eta), tuple[int, ...]()
    if (algorithm := _algorithm(scheduler)) is not None:
        options = options_of(algorithm, scheduler, "toy", "scheduler")
        if hasattr(algorithm, "levels"):
            rungs = levels_of(algorithm, options, 1, top, eta)
        milestones = milestones_of(algorithm, options, rungs)
    return Resource(name="epoch", min=1, max=top, rungs=rungs, milestones=milestones)


def _kept(scheduler: Json) -> str:
    algorithm = _algorithm(scheduler)
    return "newest" if algorithm is None else kept_checkpoints(algorithm)


def ends_by_itself(study: Study) -> bool:
    """Tell whether a study's scheduler comes to an end without any limit."""
    return bool(getattr(_algorithm(study.scheduler), "finite", False))


def _algorithm(scheduler: Json) -> type[Any] | None:
    name = scheduler.get("name")
    return (
        find(GROUP, SCHEDULERS, name, "toy", "scheduler") if name in registered(GROUP, SCHEDULERS) else None
    )


def toy_objective(parameters: Mapping[str, Json], resource: int) -> float:
    """Return a loss that falls with training, a multiple of 2**-20 so that affine maps of it are exact."""
    distance: float = abs(math.log10(parameters["lr"]) + 2.0) + 0.1 * abs(parameters["layers"] - 3)
    return math.floor((distance + 1.0 / resource) * 2**20) / 2**20


def toy_measures(parameters: Mapping[str, Json]) -> dict[str, float]:
    """Return what a trial reports beside its loss: what pulls the other way, and is the same at every resource."""
    layers, rate = parameters.get("layers", 3), math.log10(parameters.get("lr", 0.01))
    size, latency = layers + 0.5 * abs(rate + 3.5), 1.0 + 0.5 * layers + 0.25 * rate
    found = {"size": size, "latency": latency, "speed": -size * latency}
    return {name: math.floor(value * 2**20) / 2**20 for name, value in found.items()}


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision that was just taken, and what it was taken on."""

    entry: Entry
    facts: Facts
    view: View
    """Of the history before the entry; the entry is folded in when the next moment is asked for."""
    log: Sequence[Entry]
    """The entries before this one."""

    def history(self) -> History:
        """Return the history before the entry, grown afresh from the log."""
        history = History(self.view.study)
        for entry in self.log:
            history.fold(entry)
        return history


def simulated(
    study: Study, objective: Objective = toy_objective, *, workers: int = 4, seed: int = 0
) -> Iterator[Moment]:
    """Run a study with workers that end in any order; yield every decision."""
    view = View.of(History(study))
    history = view.history
    log: list[Entry] = []
    rng = np.random.Generator(np.random.PCG64(seed))
    settled: tuple[SettledSpec, ...] = ()
    progress: tuple[Progress, ...] = ()
    for number in range(MAX_ENTRIES):
        facts = Facts(now=float(number), demand=workers, settled=settled, progress=progress)
        entry = next_entry(number, facts, decide(view, facts))
        yield Moment(entry, facts, view, log)
        history.fold(entry)
        log.append(entry)
        if history.closed:
            return
        running = sorted(history.open)
        ended = [spec for spec in running if rng.random() < 0.4 or _stopped(history, spec)]
        if study.resource and study.resource.milestones:
            under_way = [spec for spec in running if not _stopped(history, spec)]
            progress = tuple(p for spec in under_way if (p := _progress(history, spec, objective)))
            at_the_end = [spec for spec in running if spec not in {p.spec for p in progress}]
            settled = tuple(_ended(history, spec, objective) for spec in at_the_end)
            continue
        settled = tuple(_ended(history, spec, objective) for spec in ended or running[:1])
    raise AssertionError(f"the study did not end within {MAX_ENTRIES} entries")


def next_entry(number: int, facts: Facts, decisions: tuple[Decision, ...]) -> Entry:
    """Return the entry that a coordinator would append."""
    return Entry(entry=number, token=_NOBODY, author="coordinator", facts=facts, decisions=decisions)


def _stopped(history: History, spec: SpecId) -> bool:
    return history.finished is not None or bool(history.trials[history.specs[spec].issue.trial].stopped)


def _progress(history: History, spec: SpecId, objective: Objective) -> Progress | None:
    """Return what a running spec reports next on its way, or None where it comes to its end."""
    state, resource = history.specs[spec], history.study.resource
    told = state.progress.get("loss", ())
    after = told[-1][0] if told else state.issue.start
    left = [m for m in (resource.milestones if resource else ()) if after < m <= state.issue.to]
    value = objective(state.issue.parameters, left[0]) if left else None
    if value is None:
        return None
    return Progress(spec=spec, attempt=1, curves=_points(history, state.issue.parameters, left[0], value))


def _ended(history: History, spec: SpecId, objective: Objective) -> SettledSpec:
    issue = history.specs[spec].issue
    if _stopped(history, spec):
        return SettledSpec(spec=spec, link=2, outcome="stop")
    value = objective(issue.parameters, issue.to)
    if value is None:
        return SettledSpec(spec=spec, link=2, outcome="fail")
    told = history.specs[spec].progress
    curves = {
        name: (*(p for p in told.get(name, ()) if p[0] < issue.to), *points)
        for name, points in _points(history, issue.parameters, issue.to, value).items()
    }
    left = _checkpoint(issue, spec) if history.study.keep_checkpoints == "all" else None
    return SettledSpec(spec=spec, link=2, outcome="done", resource=issue.to, curves=curves, checkpoint=left)


def _checkpoint(issue: Issue, spec: SpecId) -> CheckpointRef:
    key = manifest_key(CheckpointId(issue.trial, issue.to, spec, 1))
    return CheckpointRef(key=key, sha256=_NOBODY, resource=issue.to)


def _points(
    history: History, parameters: Mapping[str, Json], resource: int, loss: float
) -> dict[str, tuple[tuple[int, float | None]]]:
    """Return one point of each metric."""
    found = {"loss": loss if math.isfinite(loss) else None, **toy_measures(parameters)}
    return {metric.name: ((resource, found[metric.name]),) for metric in history.study.metrics}


def picture(history: History) -> Json:
    """Return all that a history holds, in a form that can be compared."""
    rungs = [(r.level, list(r.ranking), list(r.waiting), sorted(r.promoted)) for r in history.rungs]
    plain = {n: repr(v) for n, v in vars(history).items() if n not in _UNSEEN}
    return rungs, plain
