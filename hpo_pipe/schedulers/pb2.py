"""PB2, population based bandits: Parker-Holder et al. 2020, arXiv:2002.02518.

Population based training whose clones are not perturbed at random: a Gaussian process that drifts with time predicts,
from the generation, the loss before and the numbers of a configuration, how the loss will change until the next one,
and the clone takes the numbers with the best upper confidence bound. Categories and ordered values are perturbed as
in PBT, and numbers too while there are too few results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import search
from hpo_pipe.models.threads import one_thread
from hpo_pipe.models.time_varying import time_varying
from hpo_pipe.schedulers.exploring import explored, moved
from hpo_pipe.schedulers.pbt import PbtScheduler, changes
from hpo_pipe.space import Space
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.trial_state import TrialState

Floats = NDArray[np.float64]

MAX_ROWS = 150
"""The newest steps that the model is fitted to."""
MAX_BELIEVED = 50
SPREAD, LOCAL = 200, 100
"""Candidates over the whole space, and near the source."""
C1, C2 = 0.2, 0.4
"""Of the paper: beta = c1 + ln(c2 n) for n results."""
_CUT = 5.0
"""Losses beyond best + 5 (median - best) are all alike."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one generation of training did to a trial."""

    trial: TrialState
    time: int
    """The generation it began with."""
    before: float
    """The loss there."""
    change: float
    """Of the loss, for each unit of training; +inf where the step failed, NaN while it is under way."""
    told: int
    """The entry that told of it."""


class Pb2Scheduler(PbtScheduler):
    """Registered as ``pb2``."""

    copes_with_objectives = False
    origin: ClassVar[str] = "pb2"

    def _explored(
        self, view: View, trial: TrialState, source: int, rung: int
    ) -> tuple[Mapping[str, Json], str]:
        with one_thread():
            return self._by_bandit(view, trial, source, rung)

    def _by_bandit(
        self, view: View, trial: TrialState, source: int, rung: int
    ) -> tuple[Mapping[str, Json], str]:
        numbers = [column for column, kind in enumerate(view.space.kinds) if kind.kind == "number"]
        steps = [step for state in view.history.trials for step in steps_of(view, state)]
        known = sorted((s for s in steps if not math.isnan(s.change)), key=lambda s: (s.told, s.trial.number))
        known = known[-MAX_ROWS:]
        least = len(numbers) + 2
        if not numbers or sum(math.isfinite(step.change) for step in known) < least:
            parameters, how = super()._explored(view, trial, source, rung)
            return parameters, f"with {len(known)} steps known, {least} are needed for the bandit; {how}"
        under_way = [step for step in steps if math.isnan(step.change)][-MAX_BELIEVED:]
        bandit = _Bandit(view, numbers, known, under_way, rung, view.history.rungs[rung].loss(source))
        before = view.history.trials[source].parameters
        own = view.space.encode(before)
        rng = self._rng_of(view, "explore", trial)
        base = moved(view.space, own, self._exploration, rng)
        rows, _ = search(
            _Within(view.space, base, numbers),
            tuple(kind.levels for kind in view.space.kinds),
            tuple(kind.kind == "category" for kind in view.space.kinds),
            rng,
            np.where(np.isnan(own), base, own)[np.newaxis],
            bandit.worth,
            SPREAD,
            LOCAL,
        )
        if not len(rows):
            return explored(
                view.space, before, self._exploration, rng
            ), "perturbed: the bandit's were forbidden"
        after = view.space.decode(rows[0])
        return after, f"{bandit.words(rows[:1])}: {changes(before, after)}"


class _Within:
    """The space, with everything but numbers as it is in one row."""

    def __init__(self, space: Space, base: Floats, numbers: list[int]) -> None:
        self._space = space
        self._others = [column for column in range(len(base)) if column not in numbers]
        self._values = base[self._others]

    def snap(self, rows: Floats) -> Floats:
        """Return what rows decode to."""
        found = rows.copy()
        found[:, self._others] = self._values
        return self._space.snap(found)

    def permitted(self, rows: Floats) -> NDArray[np.bool_]:
        """Return which rows are not forbidden."""
        return self._space.permitted(rows)


class _Bandit:
    """What the model makes of configurations for a clone that begins at a generation, with a loss."""

    def __init__(
        self, view: View, numbers: list[int], known: list[Step], under_way: list[Step], time: int, loss: float
    ) -> None:
        self._numbers, self._time = numbers, time
        losses = np.array([step.before for step in known])
        best = float(losses.min())
        cut = best + _CUT * float(np.median(losses) - best)
        self._low, self._width = best, max(min(cut, float(losses.max())) - best, 0.0) or 1.0
        self._loss = self._scaled(np.array([loss]))[0]
        changed = np.array([step.change for step in known])
        changed[~np.isfinite(changed)] = changed[np.isfinite(changed)].max()
        self._mean, self._deviation = float(changed.mean()), float(changed.std()) or 1.0
        model = time_varying(self._rows(view, known), (changed - self._mean) / self._deviation)
        self._rate = model.rate
        self._model = model.believing(self._rows(view, under_way)) if under_way else model
        self._kappa = math.sqrt(C1 + max(0.0, math.log(C2 * len(known))))
        self._count = len(known)

    def worth(self, rows: Floats) -> Floats:
        """Return the upper confidence bound of the improvement, shape (m,)."""
        mean, deviation = self._model.posterior(self._asked(rows))
        worth: Floats = self._kappa * deviation - mean
        return worth

    def words(self, row: Floats) -> str:
        """Return what is expected of a row, shape (1, d), for people."""
        mean, deviation = self._model.posterior(self._asked(row))
        expected = self._mean + self._deviation * float(mean[0])
        spread = self._deviation * float(deviation[0])
        model = f"a bandit over {self._count} steps, which forgets {self._rate:.0%} a generation"
        return f"chosen by {model} and expects the loss to change by {expected:.3g} ± {spread:.2g} a unit"

    def _asked(self, rows: Floats) -> Floats:
        beside = np.tile([float(self._time), self._loss], (len(rows), 1))
        return np.hstack([beside, rows[:, self._numbers]])

    def _rows(self, view: View, steps: list[Step]) -> Floats:
        places = np.array([view.space.encode(step.trial.parameters)[self._numbers] for step in steps])
        before = self._scaled(np.array([step.before for step in steps]))
        return np.hstack(
            [np.array([[step.time] for step in steps], dtype=np.float64), before[:, None], places]
        )

    def _scaled(self, losses: Floats) -> Floats:
        return np.clip((losses - self._low) / self._width, 0.0, 1.0)


def steps_of(view: View, trial: TrialState) -> Iterator[Step]:
    """Yield what each spec of a trial did to its loss, of those that began with one that is finite."""
    history = view.history
    for place, spec in enumerate(trial.specs):
        outcome = spec.settled.outcome if spec.settled else ""
        began = _began(view, trial, place)
        if began is None or outcome == "stop":
            continue
        time, before = began
        units = history.rungs[spec.issue.rung].level - history.rungs[time].level
        after = math.nan
        if spec.settled:
            rung = history.rungs[spec.issue.rung]
            after = rung.loss(trial.number) if outcome == "done" and trial.number in rung else math.inf
        yield Step(trial, time, before, (after - before) / units, spec.settled_at)


def _began(view: View, trial: TrialState, place: int) -> tuple[int, float] | None:
    """Return the rung that a spec began with, and the loss there; None where it began with nothing."""
    history, issue = view.history, trial.specs[place].issue
    if place:
        source, rung = trial, trial.specs[place - 1].issue.rung
    elif trial.parent is not None:
        source, rung = history.trials[trial.parent], issue.rung - 1  # where the source was compared
    else:
        return None
    if rung >= issue.rung or source.number not in history.rungs[rung]:
        return None
    loss = history.rungs[rung].loss(source.number)
    return (rung, loss) if math.isfinite(loss) else None
