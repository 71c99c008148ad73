"""``python -m tests.simulation``: many seeds, or one of them with its trace."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.faults import Fault
from tests.simulation.history import Outcome, run_recipe, run_seed
from tests.simulation.hunt import HEAD, hunt_all
from tests.simulation.mutants import MUTANTS
from tests.simulation.recipe import Recipe, drawn
from tests.simulation.single import run_singles

SEEDS = Path(__file__).with_name("seeds")
SEEDS_UNASKED = 1000
CHUNK = 10
SAY_EVERY_S = 10.0


def main() -> int:
    """Run what the command line asks for; exit with 1 where anything was violated."""
    args = _arguments()
    if args.seed is not None and args.mutant:
        with MUTANTS[args.mutant].how():
            return _one(args)
    if args.mutant or args.mutants:
        return _hunt(args)
    if args.seed is not None or args.file is not None:
        return _one(args)
    if args.single:
        return _report(run_singles(args.stride, args.jobs), args, "faults")
    seeds = range(args.start, args.start + (args.seeds or SEEDS_UNASKED))
    return _report(_run(seeds, args.jobs), args, "seeds")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, help=f"how many  [{SEEDS_UNASKED}; of a mutant, as many as it may need]"
    )
    parser.add_argument("--start", type=int, default=0, help="the first one  [0]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes  [one for each CPU]")
    parser.add_argument("--seed", type=int, help="one history")
    parser.add_argument("--file", type=Path, help="the history of a file of tests/simulation/seeds")
    parser.add_argument("--trace", action="store_true", help="print every event of it")
    parser.add_argument("--single", action="store_true", help="every call of small studies x every fault")
    parser.add_argument("--stride", type=int, default=1, help="with --single: only every so many calls  [1]")
    parser.add_argument(
        "--mutant", choices=MUTANTS, metavar="NAME", help="with a planted fault, which must be found"
    )
    parser.add_argument(
        "--mutants", action="store_true", help="with each planted fault: a table of who found it"
    )
    parser.add_argument("--first", action="store_true", help="with --mutant(s): stop at the first finding")
    parser.add_argument("--no-files", action="store_true", help="write no seed files")
    return parser.parse_args()


def _one(args: argparse.Namespace) -> int:
    tell = _print_event if args.trace else None
    recipe = drawn(args.seed) if args.file is None else kept_recipe(args.file)
    outcome = run_recipe(recipe, tell=tell)
    print(outcome.recipe.text())
    _print_counts(Counter(outcome.counts))
    print(f"digest {outcome.digest}")
    for words in outcome.violations:
        print(f"VIOLATION {words}")
    return 1 if outcome.violations else 0


def _hunt(args: argparse.Namespace) -> int:
    names = [args.mutant] if args.mutant else list(MUTANTS)
    stride, missed = args.stride if args.single else 0, []
    print(HEAD)
    for catch in hunt_all(names, args.seeds, jobs=args.jobs, stride=stride, to_the_end=not args.first):
        print(catch.line(), flush=True)
        if not catch.found:
            missed.append(catch.name)
    print(
        f"{len(names) - len(missed)} of {len(names)} mutants found"
        + (f"; not: {', '.join(missed)}" if missed else "")
    )
    return 1 if missed else 0


def _print_event(now: float, name: str, what: str, which: str) -> None:
    print(f"{now:10.4f}  {name:15} {what:16} {which}")


def _run(seeds: range, jobs: int) -> Iterator[Outcome]:
    chunks = [range(first, min(first + CHUNK, seeds.stop)) for first in range(seeds.start, seeds.stop, CHUNK)]
    if jobs <= 1:
        for chunk in chunks:
            yield from _chunk(chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(_chunk, chunks):
            yield from outcomes


def _chunk(seeds: range) -> list[Outcome]:
    return [run_seed(seed) for seed in seeds]


def _report(outcomes: Iterator[Outcome], args: argparse.Namespace, what: str) -> int:
    began, said, done, failed = time.monotonic(), 0.0, 0, 0
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        done += 1
        counts.update(outcome.counts)
        if outcome.violations:
            failed += 1
            print(f"\n{outcome.violations[0]}\n  {outcome.replay}", flush=True)
            if not args.no_files and what == "seeds":
                print(f"  kept as {keep(outcome)}", flush=True)
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            print(f"{done} {what}, {failed} violations, {said - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{done} {what} in {time.monotonic() - began:.0f} s, {failed} violations")
    _print_counts(counts)
    return 1 if failed else 0


def _print_counts(counts: Counter[str]) -> None:
    faults = {str(fault): int(counts.pop(fault, 0)) for fault in Fault}
    print("  " + ", ".join(f"{name} {value:,.0f}" for name, value in sorted(counts.items())))
    print(f"  {sum(faults.values()):,} faults: " + ", ".join(f"{n} {v:,}" for n, v in faults.items()))


def keep(outcome: Outcome) -> Path:
    """Write the file of a seed that failed; the ordinary tests run it from now on."""
    path = SEEDS / f"{outcome.recipe.seed}.json"
    found = {"found": outcome.violations[0][:500], "recipe": outcome.recipe.to_json()}
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return path


def kept_recipe(path: Path) -> Recipe:
    """Read a seed file."""
    return Recipe.from_json(json.loads(path.read_text())["recipe"])


if __name__ == "__main__":
    sys.exit(main())
