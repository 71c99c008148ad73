"""What each trial's results are and since when they are known, as arrays, for models that look back.

All losses that searchers see come from here: several objectives, and bounds, are one loss already.

Models fit their hyper-parameters now and then, on what was known when a certain trial was created. So that a
coordinator that was started just now finds the same ones, that state is read back from the history: every result is
kept with the log entry that told of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.following import following
from hpo_pipe.observations import observations
from hpo_pipe.scalarised import Measures, Scale, scalarised, weights_of
from hpo_pipe.transfer.rows import ParentRows, borrowed
from hpo_pipe.view import View
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
_FIRST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known of the first n trials. Losses are minimised."""

    unit: Floats
    """Configurations, shape (n, d); NaN: inactive."""
    rungs: Floats
    """Losses at the rungs, shape (n, rungs); NaN: not reached, +inf: failed there.

    A trial that passed a rung's resource on its way has a loss there, too: what it reported then.
    """
    curves: Floats
    """Losses at the ladder's resources, shape (n, ladder); NaN: none, +inf: not finite."""
    failed: NDArray[np.bool_]
    """Whether the trial ended in failure, shape (n,)."""
    beyond: NDArray[np.bool_] | None = None
    """Whether the result at a rung is out of bounds, shape (n, rungs); None: the study has none."""
    parents: Snapshot | None = None
    """The results of other studies that count as this one's own; their rows are numbered from -n to -1."""

    @property
    def alone(self) -> Snapshot:
        """The study's own trials only."""
        return replace(self, parents=None)


class Results:
    """Losses at the rungs, and since which entry everything is known. Kept as `hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self._count = 0
        self._ladder = np.array(observations(view).ladder)
        self._levels = np.searchsorted(self._ladder, [rung.level for rung in view.history.rungs])
        rungs, ladder = len(view.history.rungs), len(self._ladder)
        self._rungs: Floats = np.empty((_FIRST_ROWS, rungs))
        self._rungs_since: Integers = np.empty((_FIRST_ROWS, rungs), dtype=np.int64)
        self._curves_since: Integers = np.empty((_FIRST_ROWS, ladder), dtype=np.int64)
        self._failed_since: Integers = np.empty(_FIRST_ROWS, dtype=np.int64)

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(changes)."""
        self._count = len(view.history.trials)
        self._grow()
        for number in changed:
            if number < self._count:
                self._take(view, view.history.trials[number])

    def at(self, view: View, number: int, weights: int, among: Integers | None) -> Snapshot:
        """Return what was known when trial `number` was created; all that is known, for the next trial."""
        trials, seen = view.history.trials, observations(view)
        entry = view.history.head + 1 if number >= len(trials) else trials[number].specs[0].id.entry
        n = min(number, len(trials))
        curves = np.where(self._curves_since[:n] <= entry, seen.curves[:n], np.nan)
        measured = self._rungs_since[:n] <= entry
        failed = self._failed_since[:n] <= entry
        parents = borrowed(view).parents if view.study.warm_start else None
        if not view.study.plain:
            known = following(view, Measures)
            curves3 = np.where((self._curves_since[:n] <= entry)[..., None], known.curves[:n], np.nan)
            rungs3 = np.where(measured[..., None], known.rungs[:n], curves3[:, self._levels])
            if parents:  # beside their own kind, so that what is out of bounds lies behind all that is not
                rungs3, curves3 = np.vstack([parents.rungs, rungs3]), np.vstack([parents.curves, curves3])
            usual = rungs3 if among is None else rungs3[among + len(parents or ())]
            one = _OneLoss(weights_of(view, weights), Scale.of(usual, len(view.study.objectives)))
            losses, beyond = one.at_rungs(rungs3)
            along = one.along(curves3)
            others, p = None, 0
            if parents:
                p = len(parents)
                others = Snapshot(parents.unit, losses[:p], along[:p], parents.failed, beyond[:p])
            return Snapshot(seen.unit[:n], losses[p:], along[p:], failed, beyond[p:], others)
        return Snapshot(
            unit=seen.unit[:n],
            rungs=np.where(measured, self._rungs[:n], curves[:, self._levels]),
            curves=curves,
            failed=failed,
            parents=_plain(parents) if parents else None,
        )

    def _grow(self) -> None:
        have = len(self._failed_since)
        if self._count <= have:
            return
        more = max(self._count, 2 * have) - have
        self._rungs = np.pad(self._rungs, ((0, more), (0, 0)))
        self._rungs_since = np.pad(self._rungs_since, ((0, more), (0, 0)))
        self._curves_since = np.pad(self._curves_since, ((0, more), (0, 0)))
        self._failed_since = np.pad(self._failed_since, (0, more))

    def _take(self, view: View, trial: TrialState) -> None:
        number, history = trial.number, view.history
        self._rungs[number], self._rungs_since[number] = math.nan, NEVER
        self._curves_since[number] = NEVER
        self._failed_since[number] = trial.last.settled_at if trial.failed else NEVER
        for spec in trial.specs:
            for resource, entry in spec.progress_at:
                self._know(number, resource, entry)
            if spec.settled is None:
                continue
            rung = history.rungs[spec.issue.rung]
            if number in rung:
                self._rungs[number, spec.issue.rung] = rung.loss(number)
                self._rungs_since[number, spec.issue.rung] = spec.settled_at
            curve = spec.settled.curves.get(view.study.objective.name, ())
            if curve:
                self._know(number, curve[-1][0] if view.study.resource else 1, spec.settled_at)

    def _know(self, number: int, resource: int, entry: int) -> None:
        since = self._curves_since[number]
        since[self._ladder <= resource] = np.minimum(since[self._ladder <= resource], entry)


@dataclass(frozen=True, slots=True)
class _OneLoss:
    """From several losses and excesses to one loss."""

    weights: Floats
    scale: Scale

    def at_rungs(self, results: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return losses and what is out of bounds, each of shape (n, rungs), of results of shape (n, rungs, k)."""
        return scalarised(results, self.weights, self.scale)

    def along(self, curves: Floats) -> Floats:
        """Return losses of shape (n, ladder); what is out of bounds anywhere is worse than all that is not."""
        together = curves.reshape(-1, 1, curves.shape[2])
        return self.at_rungs(together)[0].reshape(curves.shape[:2])


def _plain(parents: ParentRows) -> Snapshot:
    """Return the results of other studies, where there is one loss and no bound."""
    return Snapshot(parents.unit, parents.rungs[..., 0], parents.curves[..., 0], parents.failed)


def snapshot(view: View, number: int, weights: int | None = None, among: Integers | None = None) -> Snapshot:
    """Return what was known of the trials before trial `number` when it was created.

    Args:
        view: the study.
        number: a trial, or the next one to be.
        weights: the trial by whose weights several objectives become one loss; `number` by default.
        among: the trials by which it is told what is usual, where losses are made of several; all by default.
    """
    return following(view, Results).at(view, number, number if weights is None else weights, among)
