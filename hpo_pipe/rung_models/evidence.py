"""Which results a model is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.observations import pending
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.view import View

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_PENDING = 200
LEAST = 3
"""Values that any model needs."""
MOST_NEEDED = 24
"""Values that are enough in any number of dimensions."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The trials that were measured at a rung, and those that failed before."""

    rung: int
    """-1: several."""
    trials: Integers
    """Ascending, shape (n,); below 0: of other studies, whose results count as this one's."""
    rows: Floats
    """Shape (n, d)."""
    losses: Floats
    """Shape (n,); +inf: failed."""
    reached: Integers | None = None
    """The rung of each loss, where they are of several, shape (n,); below 0: failed, or out of bounds."""

    @property
    def order(self) -> NDArray[np.intp]:
        """Places, best first: those that came further before the others; ties go to the smaller number."""
        if self.reached is None:
            return np.lexsort((self.trials, self.losses))
        return np.lexsort((self.trials, self.losses, -self.reached))

    @property
    def values(self) -> int:
        """How many losses are finite."""
        return int(np.isfinite(self.losses).sum())


def at_rung(found: Snapshot, rung: int) -> Measured:
    """Return what was measured at `rung`. A trial that failed before it counts with the worst loss."""
    losses = np.where(np.isnan(found.rungs[:, rung]) & found.failed, np.inf, found.rungs[:, rung])
    trials = np.flatnonzero(~np.isnan(losses))
    own = Measured(rung, trials, found.unit[trials], losses[trials])
    return own if found.parents is None else _beside(at_rung(found.parents, rung), own, found.parents)


def furthest(found: Snapshot) -> Measured:
    """Return every trial with the loss of the highest rung where it has a finite one; failed ones last, at rung -1."""
    finite = np.isfinite(found.rungs) & ~found.failed[:, None]
    reached = np.where(finite, np.arange(finite.shape[1]), -1).max(axis=1)
    there = np.flatnonzero((reached >= 0) | found.failed | np.isinf(found.rungs).any(axis=1))
    reached = reached[there]
    losses = np.where(reached >= 0, found.rungs[there, np.maximum(reached, 0)], np.inf)
    if found.beyond is not None:  # behind all that are within bounds, however far they came
        rungs, out = found.rungs.shape[1], found.beyond[there, np.maximum(reached, 0)]
        reached = np.where(reached < 0, -2 * rungs, np.where(out, reached - rungs, reached))
    own = Measured(-1, there, found.unit[there], losses, reached)
    return own if found.parents is None else _beside(furthest(found.parents), own, found.parents)


def values_at(found: Snapshot, rung: int) -> int:
    """Return how many finite losses there are at `rung`."""
    own = int(np.isfinite(found.rungs[:, rung]).sum())
    return own if found.parents is None else own + values_at(found.parents, rung)


def highest_rung(found: Snapshot, least: int) -> int | None:
    """Return the highest rung with `least` finite losses."""
    rungs = range(found.rungs.shape[1])
    return next((rung for rung in reversed(rungs) if values_at(found, rung) >= least), None)


def telling_rung(found: Snapshot) -> int | None:
    """Return the highest rung that a model of the space can be made of; None if there is none yet.

    With several rungs it has 2 (d + 1) finite losses, at most :data:`MOST_NEEDED`: below that a model knows less than
    the many results of the rung below it, and the first survivors are copied. Full trainings are dear: three will do.
    """
    least = min(2 * (found.unit.shape[1] + 1), MOST_NEEDED) if found.rungs.shape[1] > 1 else LEAST
    return highest_rung(found, least)


def _beside(others: Measured, own: Measured, parents: Snapshot) -> Measured:
    """Return results of other studies, numbered from -n to -1, and the study's own."""
    reached = None
    if others.reached is not None and own.reached is not None:
        reached = np.concatenate([others.reached, own.reached])
    return Measured(
        own.rung,
        np.concatenate([others.trials - len(parents.failed), own.trials]),
        np.vstack([others.rows, own.rows]),
        np.concatenate([others.losses, own.losses]),
        reached,
    )


def open_rows(view: View, number: int, without: Integers) -> Floats:
    """Return the configurations of trials that train now, at most the 200 newest, less those in `without`."""
    trials = np.setdiff1d(pending(view), without)[-MAX_PENDING:]
    return snapshot(view, number).unit[trials[trials < number]]


def level_name(view: View, rung: int) -> str:
    """Return a rung as people call it: ``epoch 9``."""
    if view.study.resource is None:
        return "the end"
    return f"{view.study.resource.name} {view.history.rungs[rung].level}"
