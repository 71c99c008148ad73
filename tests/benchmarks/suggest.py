"""What one suggestion costs each searcher at 100, 1,000, 10,000 and 30,000 trials, in CPU time of one thread.

The history is one of ASHA over four rungs with a learning curve in every result; before each suggestion one more
result arrives, so that nothing is answered twice, and fits that fall due are part of what is measured.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from hpo_pipe.conformance import toy_study
from hpo_pipe.decide import decide
from hpo_pipe.results import snapshot
from hpo_pipe.searchers import SEARCHERS, searcher_of
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Decision, Entry, Facts, Issue, Limits, SettledSpec
from tests.benchmarks.tables import heading, median, quantile, table

SIZES = (100, 1_000, 10_000, 30_000)
SUGGESTIONS = 64
WORKERS = 8
SPACE = (
    {"name": "lr", "type": "float", "min": 1e-5, "max": 1.0, "log": True},
    {"name": "decay", "type": "float", "min": 1e-6, "max": 1e-1, "log": True},
    {"name": "momentum", "type": "float", "min": 0.5, "max": 0.99},
    {"name": "dropout", "type": "float", "min": 0.0, "max": 0.8},
    {"name": "layers", "type": "int", "min": 1, "max": 8},
    {"name": "width", "type": "int", "min": 16, "max": 1024, "log": True},
    {"name": "batch", "type": "ordinal", "values": [16, 32, 64, 128]},
    {"name": "activation", "type": "categorical", "values": ["relu", "tanh", "gelu"]},
)


def curve(history: History, spec: SpecId) -> tuple[tuple[int, float], ...]:
    """Return what a trial reports on its way to the spec's end."""
    issue = history.specs[spec].issue
    at = issue.parameters
    end = 0.1 * abs(math.log10(at["lr"]) + 2) + (at["dropout"] - 0.3) ** 2 + 0.02 * abs(at["layers"] - 3)
    noise = ((issue.trial * 7919) % 997) / 997 * 0.02
    return tuple((r, end + noise + 0.8 / (1 + r) ** 0.7) for r in range(issue.start + 1, issue.to + 1))


def settled(history: History, spec: SpecId) -> SettledSpec:
    return SettledSpec(spec=spec, link=2, outcome="done", curves={"loss": curve(history, spec)})


def fold(history: History, ended: tuple[SettledSpec, ...], decisions: tuple[Decision, ...]) -> None:
    facts = Facts(now=float(history.head + 1), demand=0, settled=ended)
    history.fold(
        Entry(entry=history.head + 1, token="t", author="coordinator", facts=facts, decisions=decisions)
    )


def grown(size: int, searcher: str) -> View:
    """Return a study of `size` trials, most of them ended, with :data:`WORKERS` in training."""
    study = toy_study(space=SPACE, searcher={"name": "random"}, top=27, limits=Limits(trials=size))
    view = View.of(History(study))
    history = view.history
    while len(history.trials) < size:
        ended = tuple(settled(history, spec) for spec in list(history.open))
        facts = Facts(now=float(history.head + 1), demand=WORKERS, settled=ended)
        fold(history, ended, decide(view, facts))
    for trial in history.trials:
        trial.origin = searcher
    return View(replace(study, searcher={"name": searcher}), view.space, history)


def times(size: int, searcher: str) -> Iterator[float]:
    """Yield the milliseconds of suggestions, one after another."""
    view = grown(size, searcher)
    algorithm = searcher_of(view.study, view.space)
    snapshot(view, size)  # what is kept beside a history is filled once, when a coordinator starts
    algorithm.suggest(view, size)
    for number in range(size, size + SUGGESTIONS):
        ended = tuple(settled(view.history, spec) for spec in list(view.history.open)[:1])
        fold(view.history, ended, ())
        start = time.process_time()
        found = algorithm.suggest(view, number)
        yield 1e3 * (time.process_time() - start)
        issue = Issue(
            trial=number,
            start=0,
            to=1,
            rung=0,
            bracket=0,
            parameters=found.parameters,
            origin=searcher,
            checkpoint=None,
            reason="",
        )
        fold(view.history, (), (issue,))


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.benchmarks.suggest", *sys.argv[1:]],
            {**os.environ, "OMP_NUM_THREADS": "1"},
        )
    heading(
        "suggest", f"one suggestion, CPU ms of one thread: median and 99 % of {SUGGESTIONS}, fits included"
    )
    chosen = sys.argv[1:] or [name for name in SEARCHERS if name != "grid"]
    rows = []
    for name in chosen:
        row: list[object] = [name]
        for size in SIZES:
            found = list(times(size, name))
            row += [median(found), quantile(found, 0.99)]
        rows.append(row)
        print(f"# {name}", file=sys.stderr, flush=True)
    table(["searcher", *(f"{size:,} {what}" for size in SIZES for what in ("med", "99%"))], rows)


if __name__ == "__main__":
    main()
