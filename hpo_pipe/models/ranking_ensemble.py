"""RGPE's weights: how far the models of other tasks rank this task's configurations (Feurer et al. 2018).

arXiv:1802.02219. A model's weight is how often its draws have the fewest pairs in the wrong order. The target's own
model is judged on values that it has not seen. A source whose median draw is worse than all but the worst twentieth of
the target's is left out: it would only water the others down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.rung_ensemble import discordant

Floats = NDArray[np.float64]

WORST = 0.95
"""Quantile of the target's ranking losses that a source's median must not exceed."""


def source_shares(sources: Sequence[Floats], target: Floats, observed: Floats) -> Floats:
    """Return the weights of the sources and, last, of the target: at least 0, the sum 1, shape (sources + 1,).

    Where several share the fewest pairs in a draw, they share its vote.

    Args:
        sources: of each source's model, draws of the values at the target's n configurations, shape (draws, n).
        target: draws of the target's model, each value held out, shape (draws, n).
        observed: the target's values, shape (n,).
    """
    own = discordant(target, observed)
    limit = float(np.quantile(own, WORST))
    losses = np.stack([*(discordant(draws, observed) for draws in sources), own])
    left_out = np.median(losses, axis=1) > limit + 1e-9
    left_out[-1] = False
    losses[left_out] = np.inf
    best = np.round(losses, 9) == np.round(losses.min(axis=0), 9)
    weights: Floats = (best / best.sum(axis=0)).mean(axis=1)
    return weights
