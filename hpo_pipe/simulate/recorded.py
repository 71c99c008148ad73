"""The recorded curves of a study, as a world to search again.

What stands in is a surrogate, and says so: a configuration that was not recorded is answered by the nearest recorded
one in the unit cube. A trial that was stopped early has a short curve. From where it ended it goes on as the nearest
trial that got further did, shifted to where it ended, and it keeps its rank among those that got further: it neither
overtakes those that were ahead of it nor is overtaken. Where no trial got, curves stay where they were. Clones are
left out: what they report goes back to other configurations as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.simulate.curves import Curve, Floats
from hpo_pipe.space import Space
from hpo_pipe.study import OpenStudy
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.history import History
from storage_schema.records import Curve as Points
from storage_schema.trial_state import TrialState

Rows = NDArray[np.int64]

MAX_GRID = 1024
"""Up to so many units all are kept; of longer trainings about so many, closer together at the beginning."""
_ACTIVE = math.sqrt(0.875)
"""How far apart active and inactive are, beside the middle that stands for an inactive number; see models.distances."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One trial of the record."""

    parameters: Mapping[str, Json]
    points: tuple[tuple[int, float], ...]
    """(units, loss), rising; +inf where the report was not finite."""
    reached: int
    """Units trained."""
    crashed: bool
    """Whether it failed there."""
    unit_s: float | None
    """Seconds for a unit; None where none was measured."""


class RecordedCurves:
    """A world of recorded curves.

    Args:
        space: of the study.
        trials: with at least one report, or crashed before it.
        top: the study's greatest resource, 1 without one.
        levels: the study's rungs.
        sign: 1.0 where the objective is minimised, -1.0 where it is maximised.

    Raises:
        UserError: fewer than two trials.
    """

    def __init__(
        self, space: Space, trials: Sequence[Recorded], top: int, levels: Sequence[int], sign: float
    ) -> None:
        if sum(bool(trial.points) for trial in trials) < 2:
            raise UserError("fewer than two trials have reported anything: there is nothing to simulate from")
        self._space, self._trials, self._sign = space, trials, sign
        self._grid = _grid(top, levels)
        self._places = embedded(space, np.array([space.encode(t.parameters) for t in trials]))
        self._losses = _laid_out(trials, self._grid)
        self._best = float(np.nanmin(self._losses))
        self._first = levels[0]
        self.left_out = 0
        """Trials of the record that are not among these: clones."""
        self.longest = max(trial.reached for trial in trials)
        self._extend()
        measured = [t.unit_s for t in trials if t.unit_s]
        self._usual_s = float(np.median(measured)) if measured else 1.0
        self._numbers = {space.identity(t.parameters): number for number, t in enumerate(trials)}
        self._asked: set[str] = set()
        self._nearest = lru_cache(maxsize=100_000)(self._find)

    @property
    def configurations(self) -> list[dict[str, Json]]:
        """All recorded configurations, in the order of their trials."""
        return [dict(trial.parameters) for trial in self._trials]

    def curve(self, parameters: Mapping[str, Json], units: int) -> Curve:
        """Return the curve of the nearest recorded configuration."""
        identity = self._space.identity(parameters)
        self._asked.add(identity)
        number = self._numbers.get(identity)
        if number is None:
            number = self._nearest(tuple(self._space.encode(parameters).tolist()))
        trial = self._trials[number]
        steps = np.arange(1.0, units + 1.0)
        values: Floats = self._sign * _between(steps, self._grid, self._losses[number])
        seconds: Floats = (trial.unit_s or self._usual_s) * steps
        if trial.crashed and trial.reached < units:
            return Curve(values[: trial.reached], seconds)
        return Curve(values, seconds)

    def notes(self, top: int) -> Iterator[str]:
        """Yield what is to be said about answers given so far; `top`: the greatest resource of what was simulated."""
        new = len(self._asked - set(self._numbers))
        best = f"the best reported {self._sign * self._best:.6g}, and what is better is extrapolated"
        yield f"{len(self._trials)} recorded trials; {best}"
        if new:
            yield (
                f"{new} of {len(self._asked)} configurations that were tried are not recorded: they were answered by "
                "the nearest that is"
            )
        if (agreement := self.agreement()) is not None:
            yield (
                f"how much that is worth: recorded trials and their nearest neighbours rank alike with a correlation "
                f"of {agreement:.2f} (1: alike, 0: by chance)"
            )
        short = sum(not t.crashed and t.reached < self.longest for t in self._trials)
        if short:
            yield (
                f"{short} trials were stopped before {self.longest}: they go on as their nearest neighbours that got "
                "further did, and keep their ranks"
            )
        if self.left_out:
            yield f"{self.left_out} clones are left out: their curves go on from other configurations' training"
        if self.longest < top:
            yield f"no trial got beyond {self.longest} of {top}: from there on curves stay where they were"

    def agreement(self) -> float | None:
        """Return the rank correlation of each trial's loss at the first rung with its nearest neighbour's."""
        from scipy.spatial import KDTree

        losses = self._losses[:, np.searchsorted(self._grid, self._first)]
        rows = np.flatnonzero(np.isfinite(losses))
        if len(rows) < 3:
            return None
        nearest = KDTree(self._places[rows]).query(self._places[rows], k=2)[1]
        other = np.where(nearest[:, 0] == np.arange(len(rows)), nearest[:, 1], nearest[:, 0])
        own, told = _ranks(losses[rows]), _ranks(losses[rows][other])
        if own.std() == 0 or told.std() == 0:
            return None
        return float(np.corrcoef(own, told)[0, 1])

    def _find(self, place: tuple[float, ...]) -> int:
        point = embedded(self._space, np.array([place]))
        return int(np.argmin(np.square(self._places - point).sum(1)))

    def _extend(self) -> None:
        """Complete all curves as far as any was recorded, from one recorded length to the next."""
        from scipy.spatial import KDTree

        reach = np.array(
            [np.flatnonzero(~np.isnan(row))[-1] if not np.isnan(row).all() else -1 for row in self._losses]
        )
        extent = reach.copy()
        open_ended = np.array([not trial.crashed for trial in self._trials]) & (reach >= 0)
        for end in np.unique(reach[reach >= 0]).tolist():
            further = np.flatnonzero(reach >= end)
            short = np.flatnonzero(open_ended & (extent < end))
            if not len(short):
                continue
            nearest = further[KDTree(self._places[further]).query(self._places[short])[1]]
            for start in np.unique(extent[short]).tolist():
                chosen = extent[short] == start
                self._go_on(short[chosen], nearest[chosen], further, start, end)
            extent[short] = end
        self._losses[:, :] = _held(self._losses)

    def _go_on(self, short: Rows, nearest: Rows, further: Rows, start: int, end: int) -> None:
        """Continue the rows `short` from column `start` to `end` as the rows `nearest` do."""
        losses = self._losses
        here, there = losses[short, start], losses[further, start]
        for column in range(start + 1, end + 1):
            with np.errstate(invalid="ignore"):
                moved = here + losses[nearest, column] - losses[nearest, start]
            moved = np.where(np.isfinite(moved), moved, here)
            sound = np.isfinite(there) & np.isfinite(losses[further, column])
            if sound.any():
                rank = np.searchsorted(np.sort(there[sound]), here)
                ends = np.concatenate([[-np.inf], np.sort(losses[further[sound], column]), [np.inf]])
                moved = np.where(np.isfinite(here), np.clip(moved, ends[rank], ends[rank + 1]), here)
            losses[short, column] = moved


def recorded_curves(study: OpenStudy, *, full: bool = False) -> RecordedCurves:
    """Return the record of a study; `full`: read the metric log, not only the log's curves of 64 points a spec."""
    state = study.look()
    history, definition = state.history, state.study
    space = Space.from_json(definition.space, constraints=definition.constraints)
    begun = [trial for trial in history.trials if trial.parent is None]
    trials = [trial for trial in begun if not trial.open or trial.curve(definition.objective.name)]
    curves = _full(study, trials) if full else {t.number: t.curve(definition.objective.name) for t in trials}
    found = [_recorded(history, trial, curves.get(trial.number, ())) for trial in trials]
    resource = definition.resource
    world = RecordedCurves(
        space,
        [trial for trial in found if trial.points or trial.crashed],
        resource.max if resource else 1,
        resource.rungs if resource else (1,),
        history.loss(1.0),
    )
    world.left_out = len(history.trials) - len(begun)
    return world


def embedded(space: Space, points: Floats) -> Floats:
    """Return rows of the unit cube, shape (n, d), as points whose distances count categories as equal or not."""
    columns = []
    for column, kind in enumerate(space.kinds):
        place = points[:, column]
        off = np.isnan(place)
        if kind.kind == "category":
            levels = np.where(off, kind.levels, np.floor(np.where(off, 0.0, place) * kind.levels))
            columns += [(levels == level) / math.sqrt(2.0) for level in range(kind.levels + 1)]
        else:
            columns += [np.where(off, 0.5, place), off * _ACTIVE]
    return np.stack(columns, axis=1) if columns else np.zeros((len(points), 1))


def _full(study: OpenStudy, trials: Iterable[TrialState]) -> dict[int, Points]:
    table = study.learning_curves([trial.number for trial in trials], full=True)
    wanted = study.definition.objective.name
    found: dict[int, list[tuple[int, float | None]]] = {}
    columns = (table.column(name).to_pylist() for name in ("trial", "resource", "metric", "value"))
    for number, resource, metric, value in zip(*columns, strict=True):
        if metric == wanted:
            found.setdefault(number, []).append((resource, value))
    return {number: tuple(points) for number, points in found.items()}


def _recorded(history: History, trial: TrialState, points: Points) -> Recorded:
    done = [spec for spec in trial.specs if spec.settled and spec.settled.outcome == "done"]
    units = sum(spec.issue.to - spec.issue.start for spec in done)
    seconds = sum(spec.settled.wall_s for spec in done if spec.settled)
    if history.study.resource is None:
        points = ((1, points[-1][1]),) if points else ()
    losses = tuple((resource, history.loss(value)) for resource, value in points if resource >= 1)
    return Recorded(
        parameters=trial.parameters,
        points=losses,
        reached=losses[-1][0] if losses else 0,
        crashed=trial.failed,
        unit_s=seconds / units if units and seconds > 0 else None,
    )


def _grid(top: int, levels: Sequence[int]) -> Floats:
    """Return the units at which curves are kept, rising, shape (g,): 1, the rungs and `top` among them."""
    if top <= MAX_GRID:
        return np.arange(1.0, top + 1.0)
    return np.unique(np.concatenate([np.round(np.geomspace(1, top, MAX_GRID)), [*levels, top]]))


def _laid_out(trials: Sequence[Recorded], grid: Floats) -> Floats:
    """Return the losses on the grid, shape (n, g), NaN beyond what was recorded."""
    found = np.full((len(trials), len(grid)), np.nan)
    for row, trial in zip(found, trials, strict=True):
        if trial.points:
            units, losses = (np.array(column, dtype=np.float64) for column in zip(*trial.points, strict=True))
            inside = max(1, int(np.searchsorted(grid, units[-1], side="right")))
            row[:inside] = _between(grid[:inside], units, losses)
    return found


def _between(at: Floats, units: Floats, losses: Floats) -> Floats:
    """Return losses in between the points of a curve, on straight lines; next to one that is not finite, the last."""
    last = losses[np.maximum(np.searchsorted(units, at, side="right") - 1, 0)]
    sound = np.isfinite(losses)
    if not sound.any():
        return last
    found: Floats = np.where(np.isfinite(last), np.interp(at, units[sound], losses[sound]), last)
    return found


def _held(losses: Floats) -> Floats:
    """Return rows whose last value goes on to the end; +inf where there is none at all."""
    known = ~np.isnan(losses)
    last = np.maximum.accumulate(np.where(known, np.arange(losses.shape[1]), 0), axis=1)
    found: Floats = np.take_along_axis(losses, last, axis=1)
    return np.where(np.isnan(found), np.inf, found)


def _ranks(values: Floats) -> Floats:
    """Return ranks from 0 on, the mean of them for equal values."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    found: Floats = (ends - (count + 1) / 2.0)[place]
    return found
