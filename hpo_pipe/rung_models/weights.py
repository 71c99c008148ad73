"""Hyper-Tune's rungs: which of them have a model, and how far the ranking of each is to be believed.

Li et al. 2022 (arXiv:2201.06834), section 4. The weights are found anew when the hyper-parameters are, on what was
known then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.gaussian_process import Hyperparameters
from hpo_pipe.models.recent import Recent
from hpo_pipe.models.rung_ensemble import ENOUGH, draws, held_out_draws, shares
from hpo_pipe.models.schedule import last_refit
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models.evidence import LEAST, Measured, at_rung, highest_rung, level_name, values_at
from hpo_pipe.rung_models.processes import distances_of, fitted, process, thinned
from hpo_pipe.view import View

Floats = NDArray[np.float64]

CAP, FIT_CAP = 250, 120
"""Rows of each rung's model, and of a fit of its hyper-parameters."""
JUDGED = 60
"""Configurations of the reference rung whose ranking is compared."""
_WEIGHTS: Recent[tuple[float, ...]] = Recent(32)


@dataclass(frozen=True, slots=True)
class RungWeights:
    """The rungs that have a model, up to the reference one, lowest first."""

    rungs: tuple[int, ...]
    weights: tuple[float, ...]
    """Each at least 0, the sum 1."""
    hyperparameters: tuple[Hyperparameters, ...]

    @property
    def counting(self) -> RungWeights:
        """The rungs whose weight is not 0."""
        places = [place for place, weight in enumerate(self.weights) if weight > 0.0]
        return RungWeights(
            tuple(self.rungs[place] for place in places),
            tuple(self.weights[place] for place in places),
            tuple(self.hyperparameters[place] for place in places),
        )

    def named(self, view: View) -> str:
        """Return the weights as people call them: ``epoch 1 62%, epoch 3 38%``."""
        pairs = zip(self.rungs, self.weights, strict=True)
        return ", ".join(f"{level_name(view, rung)} {weight:.0%}" for rung, weight in pairs)


def rung_weights(view: View, number: int, warping: str = "log") -> RungWeights | None:
    """Return the rungs that trial `number` is chosen by; None while none has three values.

    As long as no rung above the first has enough values, all weight is the first one's.
    """
    if not view.space.dimensions:
        return None
    then = last_refit(number)
    found = snapshot(view, then)
    if highest_rung(found, LEAST) is None:
        then, found = number, snapshot(view, number)
    if highest_rung(found, LEAST) is None:
        return None
    reference = highest_rung(found, ENOUGH)
    rungs = [r for r in range(found.rungs.shape[1]) if values_at(found, r) >= LEAST]
    rungs = [r for r in rungs if reference is not None and r <= reference] or rungs[:1]
    fits = {rung: fitted(view, at_rung(found, rung), warping, FIT_CAP) for rung in rungs}
    weights = _weights(view, found, rungs, fits, warping, then)
    return RungWeights(tuple(rungs), weights, tuple(fits[rung] for rung in rungs))


def _weights(
    view: View,
    found: Snapshot,
    rungs: Sequence[int],
    fits: Mapping[int, Hyperparameters],
    warping: str,
    then: int,
) -> tuple[float, ...]:
    if len(rungs) == 1:
        return (1.0,)
    data = {rung: thinned(at_rung(found, rung), warping, CAP) for rung in rungs}
    judged, truth = thinned(at_rung(found, rungs[-1]), warping, JUDGED)

    def make() -> tuple[float, ...]:
        rng = view.rng("hyper_tune-weights", then)
        sampled = []
        for rung in rungs[:-1]:
            measured, values = data[rung]
            model = process(view, measured, values, fits[rung])
            sampled.append(draws(*model.joint(judged.rows), rng))
        own = held_out_draws(distances_of(view.space), fits[rungs[-1]], judged.rows, truth, rng)
        return tuple(float(f"{weight:.6g}") for weight in shares([*sampled, own], truth))

    return _WEIGHTS.get(make, *_content(data), judged.rows, truth, fits, (view.study.seed, then, rungs))


def _content(data: Mapping[int, tuple[Measured, Floats]]) -> list[Floats]:
    return [array for measured, values in data.values() for array in (measured.rows, values)]
