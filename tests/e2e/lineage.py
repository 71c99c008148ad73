"""What a training of `slow_training` comes to if nothing ever happens to it, also where it began as a clone."""

from __future__ import annotations

from storage_schema.history import History
from tests.e2e.slow_training import state_after


def begun_at(history: History, number: int) -> int:
    """Return the units that a trial has behind it from its parent: 0 where it has none."""
    trial = history.trials[number]
    return 0 if trial.parent is None else trial.specs[0].issue.start


def state_of(history: History, number: int, epochs: int) -> float:
    """Return what a trial reports after so many units."""
    trial, begun = history.trials[number], begun_at(history, number)
    lr = float(trial.parameters["lr"])
    if trial.parent is None or not begun:
        return state_after(lr, epochs)
    return state_after(lr, epochs - begun, state_of(history, trial.parent, begun))
