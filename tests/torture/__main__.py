"""``python -m tests.torture``: studies whose every process may die at any moment, on a store that fails.

Coordinators and workers are killed, frozen for longer than their lease, and interrupted at random; the disk fills up,
or the S3 server is killed, frozen and answers errors behind a proxy that loses and delays. At the end every trial
must be accounted for exactly once, with the curve, bit for bit, that it has when nothing happens.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks.tables import table
from tests.torture import stores
from tests.torture.session import Outcome, Plan, torture
from tests.torture.studies import LEASE_S

ROWS = {
    "studies": "studies",
    "trials": "trials",
    "specs": "specs",
    "log entries": "log entries",
    "attempts": "link claim",
    "done": "link done",
    "failed": "link fail",
    "given back": "link release",
    "fenced": "link fence",
    "  of which zombies: frozen, then continued": "zombies",
    "  recorded of them": "recorded of a fenced attempt",
    "  after an outage longer than the lease": "fenced after an outage longer than the lease",
    "  alive all the time": "fenced alive",
    "workers killed": "kill worker",
    "workers frozen past the lease": "stop worker",
    "workers interrupted": "term worker",
    "coordinators killed": "kill coordinator",
    "coordinators frozen": "stop coordinator",
    "coordinators interrupted": "term coordinator",
    "processes started again": "started again",
    "epochs trained": "epochs trained",
    "epochs in the record": "epochs in the record",
    "specs lost": "lost",
    "specs recorded twice": "twice",
    "synchronous studies with the undisturbed leaderboard": "leaderboards equal to the undisturbed run's",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Torture the stores that were asked for; return 1 where anything was wrong."""
    options = _options(arguments)
    plan = Plan(
        seconds=60 * options.minutes,
        workers=options.workers,
        coordinators=options.coordinators,
        trials=options.trials,
        epoch_s=options.epoch,
        every_s=options.every,
        seed=options.seed,
    )
    print(
        f"# {plan.workers} workers, {plan.coordinators} coordinators, a signal every {plan.every_s:g} s, a lease of "
        f"{LEASE_S:g} s, epochs of {plan.epoch_s:g} s, seed {plan.seed}\n"
        f"# {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n",
        flush=True,
    )
    place = Path(tempfile.mkdtemp(prefix="torture-"))
    outcomes = {name: _one(name, plan, place) for name in dict.fromkeys(options.store or ["folder", "s3"])}
    table(["", *outcomes], _rows(list(outcomes.values())))
    for name, outcome in outcomes.items():
        _print_rest(name, outcome)
    if any(outcome.problems for outcome in outcomes.values()):
        print(f"SOMETHING WENT WRONG; what is left lies in {place}")
        return 1
    shutil.rmtree(place)
    print("nothing was lost, nothing was recorded twice, every curve is that of an undisturbed run")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--store", action="append", choices=["folder", "s3"], help="default: both, in turn")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each store; default: %(default)s")
    parser.add_argument("--workers", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--coordinators", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--trials", type=int, default=80, help="of a synchronous study; default: %(default)s")
    parser.add_argument("--epoch", type=float, default=0.4, help="seconds; default: %(default)s")
    parser.add_argument(
        "--every", type=float, default=2.0, help="seconds between signals; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return parser.parse_args(arguments)


def _one(name: str, plan: Plan, place: Path) -> Outcome:
    def say(text: str) -> None:
        print(f"# {text}", flush=True)

    scratch = place / name
    scratch.mkdir()
    made: AbstractContextManager[stores.Tortured]
    made = stores.folder(scratch) if name == "folder" else stores.s3(scratch, plan.seed)
    with made as store:
        for note in store.notes:
            say(f"{name}: {note}")
        outcome = torture(store, plan, scratch, say)
        outcome.faults = store.faults()
    return outcome


def _rows(outcomes: Sequence[Outcome]) -> list[list[object]]:
    rows: list[list[object]] = [["minutes", *(outcome.seconds / 60 for outcome in outcomes)]]
    rows += [[label, *(outcome.counts[name] for outcome in outcomes)] for label, name in ROWS.items()]
    rows.append(["repeated work, % of all", *(_repeated(outcome.counts) for outcome in outcomes)])
    return rows


def _repeated(counts: Counter[str]) -> float:
    trained = counts["epochs trained"]
    return 100 * (trained - counts["epochs in the record"]) / max(1, trained)


def _print_rest(name: str, outcome: Outcome) -> None:
    for title, counts in (("what befell the store", outcome.events), ("requests and faults", outcome.faults)):
        if counts:
            print(f"{name}, {title}: " + "; ".join(f"{key} {count:,}" for key, count in counts.most_common()))
    for problem in outcome.problems:
        print(f"{name}: PROBLEM: {problem}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
