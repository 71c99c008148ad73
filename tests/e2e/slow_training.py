"""A training whose every value depends on all epochs before it: a resumption from the wrong place shows."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from hpo_pipe.trial import Trial, current_trial

EPOCH_S = float(os.environ.get("TEST_EPOCH_S", "0.1"))
GATE = os.environ.get("TEST_GATE", "")
"""A file. While it is not there, no training goes past the unit after the first few; unless it is interrupted."""
FREE = 3
HELD_S = 0.05


def step(state: float, lr: float) -> float:
    """Train one epoch."""
    return (3.7 * state * (1.0 - state) + lr) % 1.0


def state_after(lr: float, epochs: int, state: float = 0.3) -> float:
    """Return the model after so many undisturbed epochs, from a given one on."""
    for _ in range(epochs):
        state = step(state, lr)
    return state


def hold(trial: Trial, epoch: int) -> None:
    """Wait in mid-trial until the test lets it go on, or the worker wants a checkpoint."""
    while GATE and epoch >= FREE and not Path(GATE).exists() and not trial.should_save:
        time.sleep(HELD_S)


def main() -> None:
    """Train, report and checkpoint each epoch."""
    trial = current_trial()
    lr = trial.params["lr"]
    state = 0.3
    if saved := trial.checkpoint:
        state = json.loads((saved / "state.json").read_text())["state"]
    for epoch in trial.steps():
        time.sleep(EPOCH_S)
        state = step(state, lr)
        trial.report(loss=state)
        hold(trial, epoch)
        with trial.save_checkpoint() as folder:
            (folder / "state.json").write_text(json.dumps({"state": state}))


if __name__ == "__main__":
    main()
