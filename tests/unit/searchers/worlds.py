"""Small studies that searchers are watched in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.searchers import searcher_of
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Entry, Facts, Issue, Limits, SettledSpec

SQUARE = (
    {"name": "x", "type": "float", "min": 0, "max": 1},
    {"name": "y", "type": "float", "min": 0, "max": 1},
)


def settled(spec, value, resource=1):
    curve = ((resource, value if math.isfinite(value) else None),)
    return SettledSpec(spec=spec, link=2, outcome="done", curves={"loss": curve})


def fold(history, facts=None, decisions=()):
    facts = facts or Facts(now=float(history.head + 1), demand=0)
    entry = Entry(
        entry=history.head + 1, token="t", author="coordinator", facts=facts, decisions=tuple(decisions)
    )
    history.fold(entry)


def issue(trial, parameters, to=1, rung=0, origin="someone", start=0):
    return Issue(
        trial=trial,
        start=start,
        to=to,
        rung=rung,
        bracket=0,
        parameters=parameters,
        origin=origin,
        checkpoint=None,
        reason="",
    )


class Search:
    """A study that grows by hand: trials are added with results, and the searcher is asked."""

    def __init__(self, name, space=SQUARE, seed=1, top=9, warm_start=None, **options):
        study = toy_study(searcher={"name": name, **options}, space=space, seed=seed, top=top)
        study = replace(study, warm_start=warm_start)
        self.name = name
        self.view = View.of(History(study))
        self.history = self.view.history
        self.searcher = searcher_of(study, self.view.space)

    def suggest(self, number=None):
        return self.searcher.suggest(self.view, len(self.history.trials) if number is None else number)

    def add(self, parameters, loss=None, rung=0, origin=None):
        """Add a trial; with a loss, one that was measured at `rung` and all rungs below."""
        trial = len(self.history.trials)
        levels = [each.level for each in self.history.rungs]
        for place in range(rung + 1):
            spec = issue(trial, parameters, levels[place], place, origin or self.name)
            fold(self.history, decisions=[spec])
            if loss is not None:
                (open_spec,) = (i for i, s in self.history.open.items() if s.issue.trial == trial)
                value = settled(open_spec, loss, levels[place])
                fold(self.history, Facts(now=0.0, demand=0, settled=(value,)))
        return trial

    def fail(self, parameters):
        """Add a trial that crashes before it reports."""
        trial = self.add(parameters)
        (spec,) = (i for i, s in self.history.open.items() if s.issue.trial == trial)
        failed = SettledSpec(spec=spec, link=2, outcome="fail")
        fold(self.history, Facts(now=0.0, demand=0, settled=(failed,)))


def uniform(seed, n, space=SQUARE):
    rng = np.random.Generator(np.random.PCG64(seed))
    names = [p["name"] for p in space]
    return [dict(zip(names, row.tolist(), strict=True)) for row in rng.random((n, len(names)))]


def best_of(searcher, objective, *, trials, space, seed, scheduler=None, workers=4, top=9, warm_start=None):
    """Run a study to its end; return its best loss and its history."""
    study = toy_study(
        searcher=searcher,
        scheduler=scheduler or {"name": "none"},
        space=space,
        seed=seed,
        top=top,
        limits=Limits(trials=trials),
    )
    study = replace(study, warm_start=warm_start)
    moments = list(simulated(study, objective, workers=workers))
    history = moments[-1].view.history
    return history.best_seen.loss if history.best_seen else math.inf, history
