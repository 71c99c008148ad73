"""Learning curves to search over: what training a configuration for a number of epochs gives.

LCBench (8 tasks): the neural surrogate that YAHPO Gym fitted to LCBench, answered with numpy. See DATA.md for sources
and licences. TaskSet (6 tasks) is read from a folder that the user names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.simulate.curves import Curve

Floats = NDArray[np.float64]
FOLDER = Path(__file__).parent
EPOCHS = 50
SIZES = (3, 9, 27, EPOCHS)
"""Curves are computed to one of these lengths."""

LCBENCH = ("167104", "167149", "167168", "168330", "168331", "189865", "189905", "189908")
LCBENCH_SPACE: tuple[Mapping[str, Any], ...] = (
    {"name": "batch_size", "type": "int", "min": 16, "max": 512, "log": True},
    {"name": "learning_rate", "type": "float", "min": 1e-4, "max": 1e-1, "log": True},
    {"name": "momentum", "type": "float", "min": 0.1, "max": 0.99},
    {"name": "weight_decay", "type": "float", "min": 1e-5, "max": 1e-1},
    {"name": "num_layers", "type": "int", "min": 1, "max": 5},
    {"name": "max_units", "type": "int", "min": 64, "max": 1024, "log": True},
    {"name": "max_dropout", "type": "float", "min": 0.0, "max": 1.0},
)
TASKSET_SPACE: tuple[Mapping[str, Any], ...] = tuple(
    {"name": name, "type": "float", "min": low, "max": high, "log": True}
    for name, low, high in (
        ("learning_rate", 1e-8, 1e1),
        ("one_minus_beta1", 1e-4, 1.0),
        ("one_minus_beta2", 1e-6, 1.0),
        ("epsilon", 1e-10, 1e3),
        ("l1", 1e-8, 1e1),
        ("l2", 1e-8, 1e1),
        ("linear_decay", 1e-7, 1e-4),
        ("exponential_decay", 1e-6, 1e-3),
    )
)


class Source(Protocol):
    """Computes curves."""

    def __call__(self, x: Floats, epochs: int) -> tuple[Floats, Floats]:
        """Return losses and elapsed seconds, each (n, epochs), of configurations (n, d) in the space's order."""


@dataclass(frozen=True)
class Task:
    """One search problem. A world of curves (`hpo_pipe.simulate.curves.Curves`)."""

    name: str
    space: tuple[Mapping[str, Any], ...]
    source: Source
    best: float
    """The least loss known, at any epoch."""
    median: float
    """The median loss of random configurations after 50 epochs."""
    median_s: float
    """Median time of a full training, virtual seconds."""

    def regret(self, loss: Any) -> Any:
        """Return 0 for the best known loss, 1 for that of a median random configuration, fully trained."""
        return (loss - self.best) / (self.median - self.best)

    def curve(self, parameters: Mapping[str, Any], units: int) -> Curve:
        """Return a configuration's losses and times."""
        size = next(size for size in SIZES if units <= size)
        return self._known(tuple(parameters[p["name"]] for p in self.space), size)

    @cached_property
    def _known(self) -> Any:
        @lru_cache(50_000)
        def known(values: tuple[float, ...], size: int) -> Curve:
            losses, seconds = self.source(np.array([values], dtype=float), size)
            return Curve(losses[0].astype(float), seconds[0].astype(float))

        return known


def tasks(taskset: Path | None = None) -> dict[str, Task]:
    """Return all tasks by name; those of TaskSet only where the folder with ``taskset.npz`` is given."""
    reference = json.loads((FOLDER / "reference.json").read_text())
    found = {
        f"lcbench:{name}": Task(
            f"lcbench:{name}",
            LCBENCH_SPACE,
            _LCBench(name),
            1 - reference[f"lcbench:{name}"]["best"],
            1 - reference[f"lcbench:{name}"]["median"],
            reference[f"lcbench:{name}"]["median_seconds"],
        )
        for name in LCBENCH
    }
    if taskset is not None:
        for name in _arrays(taskset / "taskset.npz")["task_names"].tolist():
            known = reference[f"taskset:{name}"]
            source = _TaskSet(taskset / "taskset.npz", name)
            found[f"taskset:{name}"] = Task(
                f"taskset:{name}",
                TASKSET_SPACE,
                source,
                known["best"],
                known["median"],
                known["median_seconds"],
            )
    return found


@cache
def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@dataclass(frozen=True)
class _LCBench:
    """YAHPO's network for one data set. Its epochs 2..51 are 1..50 here: its 1 is the untrained network."""

    name: str

    def __call__(self, x: Floats, epochs: int) -> tuple[Floats, Floats]:
        asked = np.append(np.arange(1, epochs + 2), EPOCHS + 1)  # with the last: the mean time of an epoch
        out = self._network(np.repeat(x, len(asked), 0), np.tile(asked, len(x))).reshape(
            len(x), len(asked), 6
        )
        elapsed, balanced_accuracy = out[:, :, 0], out[:, 1:-1, 3]
        mean = np.maximum(elapsed[:, -1:] - elapsed[:, :1], 1e-3 * EPOCHS) / EPOCHS
        steps = np.maximum(np.diff(elapsed[:, :-1], axis=1), 0.2 * mean)  # the surrogate's time may fall
        return 1 - balanced_accuracy, np.cumsum(steps, axis=1)

    def _network(self, x: Floats, epoch: NDArray[np.int64]) -> Floats:
        w = _arrays(FOLDER / "lcbench.npz")
        given = np.column_stack([epoch, x]).astype(np.float32)
        for column in (0, 2, 4):
            given[:, column] = np.log(given[:, column] + np.float32(1e-12))
        given = (given - w["in_shift_scale"][:, 0]) / w["in_shift_scale"][:, 1]
        code = int(w["task_codes"][w["task_names"].tolist().index(self.name)])
        task = np.broadcast_to(w["embds_fct.0.weight"][code], (len(given), 24))
        h = np.concatenate([task, given], 1) @ w["first_layer.weight"].T + w["first_layer.bias"]
        for layer in range(3):
            name = f"layers.{layer}."
            z = _normed(h, w, name + "norm") @ w[name + "linear0.weight"].T + w[name + "linear0.bias"]
            half = z.shape[1] // 2
            gated = z[:, :half] * np.maximum(z[:, half:], 0)
            h = h + (gated @ w[name + "linear1.weight"].T + w[name + "linear1.bias"])
        out = np.maximum(_normed(h, w, "last_normalization"), 0) @ w["head.weight"].T + w["head.bias"]
        out = w["out_scale_shift"][:, 0] / (1 + np.exp(-out)) + w["out_scale_shift"][:, 1]
        out[:, 1::2] = np.exp(out[:, 1::2]) - 1e-12
        return out


def _normed(h: Floats, w: dict[str, NDArray[Any]], name: str) -> Floats:
    scale = w[name + ".weight"] / np.sqrt(w[name + ".running_var"] + np.float32(1e-5))
    return h * scale + (w[name + ".bias"] - w[name + ".running_mean"] * scale)


@dataclass(frozen=True)
class _TaskSet:
    """A table of real curves; a configuration is answered by its nearest neighbour. An epoch takes a second."""

    path: Path
    name: str

    def __call__(self, x: Floats, epochs: int) -> tuple[Floats, Floats]:
        known, asked = self._points, self._unit(x)
        rows = np.argmin((known**2).sum(1) - 2 * asked @ known.T, axis=1)
        losses = _arrays(self.path)[f"valid:{self.name}"][rows, 1 : epochs + 1]
        losses = np.minimum(np.where(np.isnan(losses), 1.0, losses), 1.0)
        return losses, np.broadcast_to(np.arange(1.0, epochs + 1), losses.shape)

    @cached_property
    def _points(self) -> Floats:
        known = _arrays(self.path)["hps"].astype(float)
        known[:, 1:3] = 1 - known[:, 1:3]  # TaskSet drew 1 - beta evenly in the log
        return self._unit(known)

    def _unit(self, x: Floats) -> Floats:
        low = np.log([p["min"] for p in TASKSET_SPACE])
        high = np.log([p["max"] for p in TASKSET_SPACE])
        return (np.log(np.maximum(x, 1e-300)) - low) / (high - low)
