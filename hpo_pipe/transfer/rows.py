"""What was taken over from other studies, as arrays for models. A function of ``study.json`` alone.

Losses have one value for each objective and each metric with bounds, as :class:`hpo_pipe.scalarised.Measures` has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.outcomes import outcome
from hpo_pipe.rungs import ladder
from hpo_pipe.space import Space
from hpo_pipe.transfer.points import at, reach
from hpo_pipe.view import View
from storage_schema.errors import UserError
from storage_schema.records import Study, WarmResult, WarmSource

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The results of one other study, at its own rungs."""

    source: WarmSource
    results: tuple[WarmResult, ...]
    """Those whose parameters this space has, best first."""
    unit: Floats
    """Shape (n, d); NaN: inactive."""
    losses: Floats
    """Shape (n, rungs, k); NaN: not reached."""
    failed: NDArray[np.bool_]
    """Shape (n,)."""


@dataclass(frozen=True, slots=True)
class ParentRows:
    """All results that count as the study's own, at its rungs, as older trials: source by source, in their order."""

    sources: tuple[WarmSource, ...]
    """Of each row."""
    results: tuple[WarmResult, ...]
    unit: Floats
    """Shape (n, d)."""
    rungs: Floats
    """Shape (n, rungs, k)."""
    curves: Floats
    """Shape (n, ladder, k)."""
    failed: NDArray[np.bool_]
    """Shape (n,)."""

    def __len__(self) -> int:
        return len(self.results)


class Borrowed:
    """The rows of one history's study. Nothing that happens in the history changes them."""

    def __init__(self, view: View) -> None:
        warm = view.study.warm_start
        self.identical = warm is not None and warm.mode == "identical"
        found = tuple(_rows(view.study, view.space, source) for source in (warm.sources if warm else ()))
        self.sources: tuple[SourceRows, ...] = found
        self.parents: ParentRows | None = None
        if self.identical and any(rows.results for rows in found):
            self.parents = _as_own(view.study, found)
        self.first = _first(view, found)

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Nothing changes."""


@dataclass(frozen=True, slots=True)
class First:
    """A configuration that is to be tried first."""

    parameters: dict[str, object]
    identity: str
    rank: int
    """Within its source, from 1 on."""
    source: WarmSource
    result: WarmResult


def borrowed(view: View) -> Borrowed:
    """Return what the study of `view` took over."""
    return following(view, Borrowed)


def parents_of(view: View) -> int:
    """Return how many results of other studies count as this one's own."""
    parents = borrowed(view).parents if view.study.warm_start else None
    return len(parents) if parents else 0


def trial_name(view: View, number: int) -> str:
    """Return ``trial 7``, or of a row of another study ``trial 3 of digits``; such rows count from -1 down."""
    parents = borrowed(view).parents if number < 0 else None
    if parents is None:
        return f"trial {number}"
    return f"trial {parents.results[number].trial} of {parents.sources[number].name}"


def counted(view: View, trials: NDArray[np.int64]) -> str:
    """Return ``12 results``, or ``30 results (18 of other studies)``."""
    others = int((trials < 0).sum())
    return f"{len(trials)} results" + (f" ({others} of other studies)" if others else "")


def parent_levels(rungs: Sequence[int], levels: Sequence[int]) -> list[int]:
    """Return from where on a result of another study counts at each of this study's rungs.

    At a rung counts who got there; and who got to the other study's last rung up to there, if that is above this
    study's rung before it. So rungs 1, 3, 9 say what 1, 4, 12 would have, and a training of 9 units is one of 12.

    Args:
        rungs: the other study's.
        levels: this study's.
    """
    found, before = [], 0
    for level in levels:
        below = max((rung for rung in rungs if before < rung <= level), default=level)
        found.append(below)
        before = level
    return found


def _rows(study: Study, space: Space, source: WarmSource) -> SourceRows:
    results = tuple(result for result in source.results if _fits(space, result))
    width = len(study.objectives) + len(study.bounded)
    losses = np.full((len(results), len(source.rungs), width), np.nan)
    unit = np.full((len(results), len(space.dimensions)), np.nan)
    for row, result in enumerate(results):
        unit[row] = space.encode(result.parameters)
        losses[row] = _at_levels(study, result, source.rungs, source.rungs)
    return SourceRows(source, results, unit, losses, np.array([r.failed for r in results], dtype=bool))


def _fits(space: Space, result: WarmResult) -> bool:
    """Tell whether a stored configuration is one of this space, and all of it: ``study.json`` may hold anything."""
    try:
        return bool(space.check(result.parameters) == result.parameters)
    except UserError:
        return False


def _at_levels(
    study: Study, result: WarmResult, levels: Sequence[int], starts: Sequence[int]
) -> list[tuple[float, ...]]:
    """Return the losses and excesses at each level; NaN where the curve does not come to where it starts to count."""
    reached = reach(result.curves.get(study.objective.name, ()))
    nothing = (np.nan,) * (len(study.objectives) + len(study.bounded))
    found = []
    for level, start in zip(levels, starts, strict=True):
        if reached < start:
            found.append(nothing)
            continue
        seen = outcome(study, lambda name, level=level: at(result, name, level))  # type: ignore[misc]
        found.append((*seen.losses, *seen.excess))
    return found


def _as_own(study: Study, found: Sequence[SourceRows]) -> ParentRows:
    levels = study.resource.rungs if study.resource else (1,)
    steps = ladder(study.resource.max, levels) if study.resource else (1,)
    rungs, curves, sources, results, unit = [], [], [], [], []
    for rows in found:
        starts = parent_levels(rows.source.rungs, levels)
        for place in sorted(range(len(rows.results)), key=lambda place, rows=rows: rows.results[place].trial):  # type: ignore[misc]
            result = rows.results[place]
            unit.append(rows.unit[place])
            rungs.append(_at_levels(study, result, levels, starts))
            curves.append(_at_levels(study, result, steps, steps))
            sources.append(rows.source)
            results.append(result)
    return ParentRows(
        tuple(sources),
        tuple(results),
        np.array(unit),
        np.array(rungs),
        np.array(curves),
        np.array([result.failed for result in results], dtype=bool),
    )


def _first(view: View, found: Sequence[SourceRows]) -> tuple[First, ...]:
    """Return the configurations to try first: the best of each source, then the second best of each, ..."""
    listed = []
    for place, rows in enumerate(found):
        by_number = {result.trial: result for result in rows.results}
        for rank, trial in enumerate(rows.source.first):
            if trial in by_number:
                result = by_number[trial]
                parameters = dict(result.parameters)
                identity = view.space.identity(parameters)
                listed.append((rank, place, First(parameters, identity, rank + 1, rows.source, result)))
    return tuple(first for _, _, first in sorted(listed, key=lambda item: item[:2]))
