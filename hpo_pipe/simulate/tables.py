"""A comparison as tables for people, and as JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from hpo_pipe.report.trials import Grid
from hpo_pipe.report.words import duration
from hpo_pipe.simulate.comparison import SHARES, Comparison, Estimate
from storage_schema.codec import Json

_HEADS = tuple(f"{100 * share:.0f} %" for share in SHARES)


def quality_grid(found: Comparison) -> Grid:
    """Return what was found after shares of the resource, and of the time."""
    rows = []
    for label in found.outcomes:
        for axis, regret in _axes(found):
            estimates = [_at(found, label, axis, share, regret) for share in SHARES]
            name = f"{axis_name(found, axis)}{', regret' if regret else ''}"
            rows.append((label, name, *(cell(estimate) for estimate in estimates)))
    return Grid(columns=("algorithm", "over", *_HEADS), rows=tuple(rows), right=frozenset(_HEADS))


def cost_grid(found: Comparison) -> Grid:
    """Return what each algorithm cost."""
    unit = f"{unit_name(found)}s"
    columns = ("algorithm", "trials", "full trainings", unit, "time", "GPU-hours", "workers idle")
    rows = []
    for label, runs in found.outcomes.items():
        seconds = Estimate.of(run.seconds for run in runs)
        rows.append(
            (
                label,
                cell(Estimate.of(run.trials for run in runs)),
                cell(Estimate.of(run.full_trainings for run in runs)),
                cell(Estimate.of(len(run.times) for run in runs)),
                duration(seconds.mean),
                cell(Estimate.of(run.gpu_hours for run in runs)),
                f"{100 * Estimate.of(run.idle for run in runs).mean:.1f} %",
            )
        )
    return Grid(columns=columns, rows=tuple(rows), right=frozenset(columns[1:]))


def heading(found: Comparison) -> str:
    """Return what the numbers are."""
    seeds = len(next(iter(found.outcomes.values())))
    metric = found.study.objective
    spread = "" if seeds == 1 else f", means of {seeds} seeds ± standard errors"
    best = f"; the best there is: {found.sign * found.best:.4g}" if found.best is not None else ""
    return (
        f"best {metric.name} so far ({metric.goal}) with {found.setting.workers} workers{spread}{best}\n"
        f"100 % are {found.units:g} {unit_name(found)}s, or {duration(found.seconds)}"
    )


def comparison_json(found: Comparison) -> dict[str, Json]:
    """Return all of it; null stands for what is not known."""
    algorithms = []
    for label, runs in found.outcomes.items():
        units, seconds, by_units, by_time = found.lines(label)
        algorithms.append(
            {
                "algorithm": label,
                "at": [
                    {"over": axis, "share": share, **_estimate_json(_at(found, label, axis, share, False))}
                    | ({"regret": _finite(_at(found, label, axis, share, True).mean)} if regret else {})
                    for axis, regret in (
                        ("resource", found.best is not None),
                        ("time", found.best is not None),
                    )
                    for share in SHARES
                ],
                "runs": [
                    {
                        "seed": run.seed,
                        "best": _finite(found.sign * run.at_units(found.units)),
                        "trials": run.trials,
                        "full_trainings": int(run.full_trainings),
                        "units": len(run.times),
                        "seconds": run.seconds,
                        "gpu_hours": run.gpu_hours,
                        "idle": run.idle,
                    }
                    for run in runs
                ],
                "curve": {
                    "units": units.tolist(),
                    "best_by_units": [_finite(found.sign * loss) for loss in by_units.tolist()],
                    "seconds": seconds.tolist(),
                    "best_by_time": [_finite(found.sign * loss) for loss in by_time.tolist()],
                },
            }
        )
    return {
        "metric": found.study.objective.name,
        "goal": found.study.objective.goal,
        "resource": unit_name(found),
        "workers": found.setting.workers,
        "units": found.units,
        "seconds": found.seconds,
        "best_known": None if found.best is None else found.sign * found.best,
        "notes": list(found.notes),
        "algorithms": algorithms,
    }


def comparison_csv(found: Comparison) -> str:
    """Return one line for each algorithm and seed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    at = [f"{axis}_{100 * share:.0f}" for axis in ("resource", "time") for share in SHARES]
    cost = ("trials", "full_trainings", "units", "seconds", "gpu_hours", "idle")
    writer.writerow(["algorithm", "seed", *at, *cost])
    for label, runs in found.outcomes.items():
        for run in runs:
            losses = [run.at_units(share * found.units) for share in SHARES]
            losses += [run.at_time(share * found.seconds) for share in SHARES]
            values = [found.sign * loss if math.isfinite(loss) else "" for loss in losses]
            costs = (run.trials, run.full_trainings, len(run.times), run.seconds, run.gpu_hours, run.idle)
            writer.writerow([label, run.seed, *values, *costs])
    return out.getvalue().rstrip("\n")


def cell(estimate: Estimate) -> str:
    """Return a number with its error: two digits of the error, as many of the number."""
    if math.isnan(estimate.mean):
        return "-"
    if math.isnan(estimate.error) or estimate.error <= 1e-9 * abs(estimate.mean):
        return f"{estimate.mean:.0f}" if abs(estimate.mean) >= 1000 else f"{estimate.mean:.4g}"
    digits = max(0, 1 - math.floor(math.log10(estimate.error)))
    return f"{estimate.mean:.{digits}f} ± {estimate.error:.{digits}f}"


def unit_name(found: Comparison) -> str:
    """Return what training is paid in."""
    return found.study.resource.name if found.study.resource else "training"


def axis_name(found: Comparison, axis: str) -> str:
    """Return what a row is counted over."""
    return f"{unit_name(found)}s" if axis == "resource" else "time"


def _axes(found: Comparison) -> Iterator[tuple[str, bool]]:
    for axis in ("resource", "time"):
        yield axis, False
        if found.best is not None:
            yield axis, True


def _at(found: Comparison, label: str, axis: str, share: float, regret: bool) -> Estimate:
    estimate = found.over_units(label, share) if axis == "resource" else found.over_time(label, share)
    if not regret or found.best is None:
        return estimate
    return Estimate(found.sign * estimate.mean - found.best, estimate.error)


def _estimate_json(estimate: Estimate) -> dict[str, Json]:
    return {"mean": _finite(estimate.mean), "error": _finite(estimate.error)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
