"""A small network trained with momentum, shuffled from a stored generator: whatever is lost or done twice shows.

Every value depends on all epochs before it, through the weights, the velocity and the generator's state, so that a
resumption from a wrong place, or from half a checkpoint, gives another curve.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

EPOCH_S = "TORTURE_EPOCH_S"
"""Variable: how long an epoch takes at least, seconds."""
TRAINED = "TORTURE_TRAINED"
"""Variable: a file that gets one line for every epoch that anybody trained."""
HIDDEN, BATCH = 16, 32


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(256, 8))
    return inputs, np.abs(inputs[:, :1]) - 0.5 * inputs[:, 1:2] * inputs[:, 2:3]


INPUTS, TARGETS = _data()


class Network:
    """Two layers, squared error, stochastic gradient descent with momentum."""

    def __init__(self, lr: float, momentum: float) -> None:
        self.lr, self.momentum = lr, momentum
        self._rng = np.random.default_rng(11)
        self._arrays = {
            "first": self._rng.normal(scale=0.3, size=(8, HIDDEN)),
            "second": self._rng.normal(scale=0.3, size=(HIDDEN, 1)),
            "first velocity": np.zeros((8, HIDDEN)),
            "second velocity": np.zeros((HIDDEN, 1)),
        }

    def epoch(self) -> float:
        """Train one epoch; return the mean squared error after it."""
        order = self._rng.permutation(len(INPUTS))
        for begin in range(0, len(INPUTS), BATCH):
            self._step(order[begin : begin + BATCH])
        hidden = np.maximum(INPUTS @ self._arrays["first"], 0.0)
        return float(np.mean((hidden @ self._arrays["second"] - TARGETS) ** 2))

    def _step(self, batch: np.ndarray) -> None:
        inputs, arrays = INPUTS[batch], self._arrays
        hidden = np.maximum(inputs @ arrays["first"], 0.0)
        error = (hidden @ arrays["second"] - TARGETS[batch]) / len(batch)
        back = (error @ arrays["second"].T) * (hidden > 0)
        for name, gradient in (("second", hidden.T @ error), ("first", inputs.T @ back)):
            velocity = self.momentum * arrays[f"{name} velocity"] - self.lr * gradient
            arrays[f"{name} velocity"] = velocity
            arrays[name] = arrays[name] + velocity

    def save(self, folder: Path) -> None:
        """Write all state into `folder`."""
        np.savez(folder / "arrays.npz", **self._arrays)
        (folder / "generator.json").write_text(json.dumps(self._rng.bit_generator.state))

    def load(self, folder: Path) -> None:
        """Go on from what :meth:`save` left."""
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self._rng.bit_generator.state = json.loads((folder / "generator.json").read_text())


@lru_cache(maxsize=10_000)
def _undisturbed_curve(lr: float, momentum: float, epochs: int) -> tuple[float, ...]:
    network = Network(lr, momentum)
    return tuple(network.epoch() for _ in range(epochs))


def undisturbed(parameters: Mapping[str, Any], epoch: int, most: int = 27) -> float:
    """Return what a trial reports after `epoch` epochs, 1 to `most`, if nothing ever happens to it."""
    return _undisturbed_curve(parameters["lr"], parameters["momentum"], most)[epoch - 1]


def count_epoch(trial: int | str, epoch: int) -> None:
    """Note, where the tests can count it, that somebody trained this epoch."""
    if path := os.environ.get(TRAINED):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{trial} {epoch}\n".encode())
        os.close(descriptor)


def main() -> None:
    """Train, report and checkpoint each epoch."""
    from hpo_pipe.trial import current_trial

    trial = current_trial()
    network = Network(trial.params["lr"], trial.params["momentum"])
    if saved := trial.checkpoint:
        network.load(saved)
    for step in trial.steps():
        time.sleep(float(os.environ.get(EPOCH_S, "0")))
        loss = network.epoch()
        count_epoch(trial.number, step + 1)
        trial.report(loss=loss)
        with trial.save_checkpoint() as folder:
            network.save(folder)


if __name__ == "__main__":
    main()
