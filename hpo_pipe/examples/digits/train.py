"""Train a small neural network on scikit-learn's handwritten digits, in plain numpy.

Alone, ``python train.py`` trains it once with the defaults below. Under hpo-pipe the parameters come from the
study, training goes on from the newest checkpoint, and each epoch reports the loss on the validation images.

Training is repeatable bit for bit: the shuffle of an epoch is keyed by (seed, epoch), and a checkpoint holds the
optimiser's state. So a trial that was interrupted and resumed elsewhere ends with the very same numbers.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from hpo_pipe.trial import current_trial

DEFAULTS: dict[str, Any] = {
    "lr": 0.03,
    "momentum": 0.9,
    "hidden": 64,
    "layers": 1,
    "activation": "relu",
    "batch_size": 32,
    "weight_decay": 1e-5,
}
CLASSES = 10
VALIDATION = 360  # of 1,797 images; the rest is for training


class Network:
    """A multi-layer perceptron with a softmax at its end, trained by SGD with momentum."""

    def __init__(self, sizes: list[int], activation: str, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self.activation = activation
        self.weights = []
        for n_in, n_out in pairwise(sizes):
            self.weights += [rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)]
        self.velocity = [np.zeros_like(w) for w in self.weights]

    def forward(self, images):
        """Return every layer's output, the images first and the class probabilities last."""
        outputs = [images]
        for place in range(0, len(self.weights), 2):
            z = outputs[-1] @ self.weights[place] + self.weights[place + 1]
            if place + 2 == len(self.weights):
                z = np.exp(z - z.max(axis=1, keepdims=True))
                outputs.append(z / z.sum(axis=1, keepdims=True))
            else:
                outputs.append(np.maximum(z, 0) if self.activation == "relu" else np.tanh(z))
        return outputs

    def step(self, images, labels, lr: float, momentum: float, weight_decay: float) -> None:
        """One step of stochastic gradient descent on a batch."""
        outputs = self.forward(images)
        delta = outputs[-1].copy()
        delta[np.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        for place in range(len(self.weights) - 2, -1, -2):
            w, below = self.weights[place], outputs[place // 2]
            gradients = (below.T @ delta + weight_decay * w, delta.sum(axis=0))
            if place:
                slope = (below > 0) if self.activation == "relu" else 1 - below**2
                delta = (delta @ w.T) * slope
            for i, gradient in enumerate(gradients, start=place):
                self.velocity[i] = momentum * self.velocity[i] - lr * gradient
                self.weights[i] = self.weights[i] + self.velocity[i]

    def evaluate(self, images, labels) -> tuple[float, float]:
        """Return the cross entropy and the share of wrong answers."""
        probabilities = self.forward(images)[-1]
        right = probabilities[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(right, 1e-12)).mean())
        return loss, float((probabilities.argmax(axis=1) != labels).mean())

    def save(self, path: Path) -> None:
        """Write weights and optimiser state."""
        arrays = {f"w{i}": w for i, w in enumerate(self.weights)}
        np.savez(path, **arrays, **{f"v{i}": v for i, v in enumerate(self.velocity)})

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote; pickled objects are refused."""
        with np.load(path, allow_pickle=False) as saved:
            self.weights = [saved[f"w{i}"] for i in range(len(self.weights))]
            self.velocity = [saved[f"v{i}"] for i in range(len(self.velocity))]


def digits():
    """Return (training images, labels), (validation images, labels): the same split for every trial."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order] / 16.0, labels[order]
    return (images[VALIDATION:], labels[VALIDATION:]), (images[:VALIDATION], labels[:VALIDATION])


def main() -> None:
    """Train from where the trial stands to where it is to go."""
    trial = current_trial(DEFAULTS)
    p = trial.params
    (images, labels), validation = digits()
    sizes = [images.shape[1], *[p["hidden"]] * p["layers"], CLASSES]
    network = Network(sizes, p["activation"], trial.seed)
    if saved := trial.checkpoint:
        network.load(saved / "network.npz")
    for epoch in trial.steps(27):  # 0, 1, 2, ...; under a worker, as far as it wants
        order = np.random.default_rng([trial.seed, 1 + epoch]).permutation(len(labels))
        for start in range(0, len(order), p["batch_size"]):
            batch = order[start : start + p["batch_size"]]
            network.step(images[batch], labels[batch], p["lr"], p["momentum"], p["weight_decay"])
        loss, error = network.evaluate(*validation)
        trial.report(val_loss=loss, val_error=error)
        with trial.save_checkpoint() as folder:
            network.save(folder / "network.npz")


if __name__ == "__main__":
    main()
