"""What a search is measured by: the best result so far, over epochs trained and over virtual time.

Every finished epoch counts, in the order in which epochs were finished, those of trainings under way included; what a
trial had trained before and goes on from is not paid again. The same for hpo-pipe and for its peers. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.quality.tasks import EPOCHS, Task

Floats = NDArray[np.float64]
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Of the budget, at which regrets are told."""
MOST = 1.5
"""No search trains more than so many times its budget of epochs, even where its clock has not run out."""
UNKNOWN = 1.0
"""The regret before any epoch is finished: that of a median random configuration."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a search did, whoever led it."""

    times: Floats
    """When each epoch was finished, virtual seconds, rising; shape (epochs,)."""
    losses: Floats
    """The best until then; shape (epochs,)."""
    ended_at: float
    idle: float
    """The share of the workers' time in which they had nothing to do."""
    trials: int

    @classmethod
    def of(cls, pieces: Iterable[tuple[Floats, Floats]], ended_at: float, idle: float, trials: int) -> Ran:
        """Return what came of pieces of work: times and losses of each one's epochs.

        Of epochs that are finished at the same moment the worst counts first.
        """
        parts = [(np.empty(0), np.empty(0)), *pieces]
        times, losses = (np.concatenate(found) for found in zip(*parts, strict=True))
        order = np.lexsort((-losses, times))
        return cls(times[order], np.minimum.accumulate(losses[order]), ended_at, idle, trials)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a search may spend."""

    epochs: float
    seconds: float
    """Of virtual time."""

    @classmethod
    def of(cls, task: Task, trainings: float, workers: int) -> Goal:
        """Return a budget of so many full trainings, which `workers` would do in the median time."""
        return cls(trainings * EPOCHS, trainings * task.median_s / workers)

    def reached(self, epochs: int, now: float) -> bool:
        """Tell whether both are spent; `epochs`: of the pieces of work that have ended."""
        return (epochs >= self.epochs and now >= self.seconds) or epochs >= MOST * self.epochs


def measured(task: Task, ran: Ran, goal: Goal) -> dict[str, Any]:
    """Return a row's figures: regrets by percent of either budget, the steps of the best so far, and what it cost.

    ``steps`` holds [share of the epochs, share of the clock, regret] for each time that the best result became better.
    """
    return {
        "epochs": {percent(share): at_epochs(task, ran, share * goal.epochs) for share in SHARES},
        "clock": {percent(share): at_time(task, ran, share * goal.seconds) for share in SHARES},
        "idle": max(0.0, ran.idle),
        "trials": ran.trials,
        "trained": len(ran.times) / goal.epochs,
        "lasted": ran.ended_at / goal.seconds,
        "steps": _steps(task, ran, goal),
    }


def at_epochs(task: Task, ran: Ran, epochs: float) -> float:
    """Return the regret after so many epochs."""
    return _regret(task, ran, min(int(epochs), len(ran.losses)))


def at_time(task: Task, ran: Ran, seconds: float) -> float:
    """Return the regret at a time."""
    return _regret(task, ran, int(np.searchsorted(ran.times, seconds, side="right")))


def percent(share: float) -> str:
    """Return the key of a share in a row."""
    return f"{100 * share:g}"


def _regret(task: Task, ran: Ran, count: int) -> float:
    return float(task.regret(ran.losses[count - 1])) if count else UNKNOWN


def _steps(task: Task, ran: Ran, goal: Goal) -> list[list[float]]:
    before = np.concatenate([[np.inf], ran.losses[:-1]])
    return [
        [
            round((place + 1) / goal.epochs, 6),
            float(f"{ran.times[place] / goal.seconds:.8g}"),
            float(f"{task.regret(ran.losses[place]):.8g}"),
        ]
        for place in np.flatnonzero(ran.losses < before).tolist()
    ]
