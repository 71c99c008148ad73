"""Tables of rows: regret over the budget, differences in pairs, what it cost, and many workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmarks.quality.accounting import SHARES, UNKNOWN, percent
from tests.benchmarks.quality.runs import half
from tests.benchmarks.quality.statistics import Mean, Values, first_below, paired
from tests.benchmarks.tables import table

AXES = {"epochs": "epochs trained", "clock": "simulated clock"}
PAIRED_SHARES = (0.1, 0.25, 0.5, 1.0)
_CELLS = "mean [95 % interval] of its mean"
Rows = Sequence[Mapping[str, Any]]


def report(rows: Rows, known: Sequence[str], chosen: Sequence[str], base: str, target: str) -> None:
    """Print all tables that the rows give.

    Args:
        rows: of the runs.
        known: all tasks there are, in their order, which halves go by.
        chosen: tasks that are asked about.
        base: the tuner that others are compared with.
        target: the tuner whose last regret is to be reached.
    """
    if not rows:
        print("there are no such runs")
        return
    print(f"tuners: {', '.join(_versions(rows))}\n")
    numbers = sorted({row["workers"] for row in rows})
    for workers in numbers:
        some = [row for row in rows if row["workers"] == workers]
        budget = some[0]["budget"]
        for name, tasks in _groups(known, chosen):
            print(f"## {name}, {workers} workers, budget {budget:g} full trainings\n")
            _print_group([row for row in some if row["task"] in tasks], tasks, base)
        print(f"## What it cost, {workers} workers\n")
        table(["tuner", "runs", "trials", "idle, %", "CPU s a run"], _costs(some))
    if len(numbers) > 1:
        print(f"## How soon it is as good as {target} at its end, % of the clock, and idle workers, %\n")
        heads = [f"{head}{workers}" for workers in numbers for head in ("workers: ", "idle, ")]
        table(["tuner", *heads], many_workers(rows, numbers, target))


def quality(rows: Rows, axis: str, tasks: Sequence[str]) -> Iterator[list[str]]:
    """Yield a line for each tuner, the best at the end first: mean regret ± standard error at each share."""
    lines: list[tuple[bool, float, list[str]]] = []
    for tuner in _tuners(rows):
        means = [Mean.of(values(rows, tuner, axis, share)) for share in SHARES]
        count = len(values(rows, tuner, axis, 1.0))
        mark = "" if count == len(tasks) else f" ({count} of {len(tasks)} tasks)"
        runs = sum(row["tuner"] == tuner for row in rows)
        cells = [f"{tuner}{mark}", str(runs), *map(_mean_cell, means)]
        lines.append((bool(mark), means[-1].mean, cells))
    yield from (cells for _, _, cells in sorted(lines, key=lambda line: line[:2]))


def differences(rows: Rows, axis: str, base: str) -> Iterator[list[str]]:
    """Yield a line for each other tuner: mean difference of regret to `base`, its interval, and its share."""
    for tuner in _tuners(rows):
        pairs = [
            paired(values(rows, tuner, axis, share), values(rows, base, axis, share))
            for share in PAIRED_SHARES
        ]
        if tuner != base and pairs[-1] is not None:
            cells = [
                f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}] {100 * d.share:+.0f} %" for d in pairs if d
            ]
            yield [tuner, str(pairs[-1].pairs), *cells]


def many_workers(rows: Rows, numbers: Sequence[int], target: str) -> Iterator[list[str]]:
    """Yield a line for each tuner: when its mean regret is that of `target` at the end, and its idle workers."""
    for tuner in _tuners(rows):
        cells = [tuner]
        for workers in numbers:
            some = [row for row in rows if row["workers"] == workers]
            tasks = {row["task"] for row in some if row["tuner"] == tuner}
            goal = values([row for row in some if row["task"] in tasks], target, "clock", 1.0)
            if not tasks or set(goal) != tasks:
                cells += ["-", "-"]
                continue
            curves: dict[str, list[list[tuple[float, float]]]] = {}
            for row in (row for row in some if row["tuner"] == tuner):
                steps = [(clock, regret) for _, clock, regret in row["steps"] if clock <= 1.0]
                curves.setdefault(row["task"], []).append(steps)
            soon = first_below(curves, UNKNOWN, Mean.of(goal).mean)
            idle = [row["idle"] for row in some if row["tuner"] == tuner]
            cells += [f"{100 * soon:.0f}" if math.isfinite(soon) else "never", f"{_percent_of(idle):.2f}"]
        yield cells


def values(rows: Rows, tuner: str, axis: str, share: float) -> Values:
    """Return a tuner's regrets by task and seed."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["tuner"] == tuner:
            found.setdefault(row["task"], {})[row["seed"]] = row[axis][percent(share)]
    return found


def _print_group(rows: Rows, tasks: Sequence[str], base: str) -> None:
    heads = [f"{percent(share)} %" for share in SHARES]
    for axis, name in AXES.items():
        print(f"Mean regret ± standard error by share of the {name}\n")
        table(["tuner", "runs", *heads], quality(rows, axis, tasks))
    heads = [f"{percent(share)} %" for share in PAIRED_SHARES]
    for axis, name in AXES.items():
        lines = list(differences(rows, axis, base))
        if lines:
            print(
                f"Regret less that of {base} (negative: better), in pairs, by share of the {name}: {_CELLS}\n"
            )
            table(["tuner", "pairs", *heads], lines)


def _groups(known: Sequence[str], chosen: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the chosen tasks, and where both halves are among them, each half."""
    halves = {name: [task for task in chosen if half(task, known) == name] for name in ("dev", "held-out")}
    yield f"All {len(chosen)} tasks" if all(halves.values()) else f"{len(chosen)} tasks", list(chosen)
    if all(halves.values()) and len(chosen) > 2:
        for name, tasks in halves.items():
            yield f"{len(tasks)} tasks of the {'tuning' if name == 'dev' else 'held-out'} half", tasks


def _costs(rows: Rows) -> Iterator[list[str]]:
    for tuner in _tuners(rows):
        own = [row for row in rows if row["tuner"] == tuner]
        trials, cpu_s = (sum(row[name] for row in own) / len(own) for name in ("trials", "cpu_s"))
        idle = _percent_of([row["idle"] for row in own])
        yield [tuner, str(len(own)), f"{trials:.0f}", f"{idle:.2f}", f"{cpu_s:.1f}"]


def _versions(rows: Rows) -> Iterator[str]:
    for tuner in _tuners(rows):
        versions = sorted({row["version"] for row in rows if row["tuner"] == tuner})
        yield f"{tuner} {'/'.join(versions)}".rstrip()


def _tuners(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["tuner"] for row in rows))


def _mean_cell(found: Mean) -> str:
    return f"{found.mean:.3f}" + ("" if math.isnan(found.error) else f" ± {found.error:.3f}")


def _percent_of(shares: Sequence[float]) -> float:
    return 100 * sum(shares) / len(shares)
