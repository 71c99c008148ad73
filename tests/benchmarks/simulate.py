"""What the simulator takes, and how idle workers are: every scheduler with 1, 8, 64 and 512 workers.

``python -m tests.benchmarks.simulate`` prints both tables; ``... idle`` or ``... speed`` one of them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.simulate.contenders import contender
from hpo_pipe.simulate.sources import source
from hpo_pipe.simulate.world import SimulatedStudy
from storage_schema.records import Limits
from tests.benchmarks.tables import heading, table

WORKERS = (1, 8, 64, 512)
PIECES = 3
"""Whole trainings for each worker, at the least."""


def world(scheduler: str, workers: int, limits: Limits, **awkward: float) -> SimulatedStudy:
    found = source("synthetic", "power_law", None)
    study = contender(found.study, f"{scheduler}+random", limits).study
    return SimulatedStudy(replace(study, seed=1), found.curves, workers, **awkward)


def idle(scheduler: str, workers: int, tick_s: float) -> str:
    units = 81 * max(PIECES * workers, 30)
    run = world(scheduler, workers, Limits(), tick_s=tick_s, startup_s=5.0, spread=0.3).until(units=units)
    return f"{100 * max(0.0, run.idle_share):.2f}"


def idle_table() -> None:
    heading(
        "simulate idle",
        "idle workers, %, until 3 whole trainings a worker are done (30 at least); 5 s to start, speeds differ by 30 %",
    )
    rows = []
    for name in SCHEDULERS:
        rows += [
            [name, tick_s, *(idle(name, workers, tick_s) for workers in WORKERS)] for tick_s in (0.0, 10.0)
        ]
        print(f"# {name}", file=sys.stderr, flush=True)
    table(["scheduler", "s to decide", *(f"{w} workers" for w in WORKERS)], rows)


def speed_table() -> None:
    heading("simulate speed", "10,000 trials of up to 81 epochs with 1,000 workers, CPU s of one thread")
    rows = []
    for name in ("none", "successive_halving", "hyperband", "asha", "asha_stopping", "d_asha"):
        start = time.process_time()
        run = world(name, 1000, Limits(trials=10_000)).until()
        rows.append([name, time.process_time() - start, len(run.log), run.units])
        print(f"# {name}", file=sys.stderr, flush=True)
    table(["scheduler", "CPU s", "log entries", "epochs"], rows)


if __name__ == "__main__":
    tables = {"idle": idle_table, "speed": speed_table}
    for wanted in sys.argv[1:] or tables:
        tables[wanted]()
