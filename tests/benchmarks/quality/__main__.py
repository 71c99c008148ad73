"""How good the search is, beside its peers: real learning curves, one simulator, the same accounting for all.

``python -m tests.benchmarks.quality --tuners auto,asha,hpbandster-bohb --peers FOLDER --out FILE`` runs what FILE does
not hold yet, and prints the tables; ``--report FILE`` prints them alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from storage_schema.codec import Json
from storage_schema.errors import UserError
from tests.benchmarks.quality.driver import Driver
from tests.benchmarks.quality.report import Rows, report
from tests.benchmarks.quality.runs import Wanted, batches, budget_for, chosen_tasks, named_tuners, read
from tests.benchmarks.quality.tasks import tasks
from tests.benchmarks.tables import heading

DEFAULT = "auto,asha,bohb,random"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and print the tables; 1 where a run failed."""
    options = _options(arguments)
    known = tuple(tasks(options.taskset))
    added: dict[str, Json] = dict(options.add)
    try:
        chosen = chosen_tasks(options.tasks, known)
        failed = 0 if options.report else _run(options, chosen, added)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = _asked_for(options, list(read(options.report or options.out).values()), chosen)
    heading("quality", "regret: 0 for the best known configuration, 1 for a median random one, fully trained")
    report(rows, known, chosen, base=options.against, target=options.target)
    return 1 if failed else 0


def _asked_for(options: argparse.Namespace, rows: Rows, chosen: Sequence[str]) -> Rows:
    tuners = options.tuners.split(",") if options.tuners else None
    return [
        row
        for row in rows
        if row["task"] in chosen
        and (tuners is None or row["tuner"] in tuners)
        and (options.workers is None or row["workers"] in options.workers)
        and row["budget"] == budget_for(options.budget, row["workers"])
    ]


def _run(options: argparse.Namespace, chosen: tuple[str, ...], added: dict[str, Json]) -> int:
    names, algorithms = named_tuners(options.tuners or DEFAULT, added)
    wanted = Wanted(names, chosen, options.seeds, options.workers or (8,), options.budget, algorithms)
    until = time.monotonic() + 60 * options.minutes
    driver = Driver(wanted, options.out, options.peers, options.taskset, until)
    again = options.again.split(",") if options.again else ()
    driver.run(batches(wanted, read(options.out), again), options.jobs)
    return len(driver.failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality", description=__doc__)
    parser.add_argument("--tuners", help=f"names with commas, or scheduler+searcher; default {DEFAULT}")
    parser.add_argument("--add", type=_added, action="append", default=[], help="NAME=JSON: [algorithm]")
    parser.add_argument("--tasks", default="lcbench", help="lcbench, taskset, all, dev, held-out, or names")
    parser.add_argument("--taskset", type=Path, help="folder of taskset.npz")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--workers", type=_numbers, help="default 8; with commas: a table over workers")
    parser.add_argument("--budget", type=float, default=50.0, help="full trainings; 3 a worker at least")
    parser.add_argument("--peers", type=Path, help="folder of the peers' virtual environments")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--again", default="", help="tuners whose rows are done anew")
    parser.add_argument("--against", default="asha", help="the tuner that others are compared with in pairs")
    parser.add_argument("--target", default="asha", help="the tuner whose last regret is to be reached")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="file of JSON lines, made or gone on with")
    where.add_argument("--report", type=Path, help="print the tables of a file")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _added(text: str) -> tuple[str, Json]:
    name, _, algorithm = text.partition("=")
    found: Json = json.loads(algorithm)
    return name, found


if __name__ == "__main__":
    sys.exit(main())
