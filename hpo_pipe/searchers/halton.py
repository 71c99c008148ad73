"""Quasi-random search: the points of one scrambled Halton sequence (Halton 1960; scrambled after Owen 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

BLOCK = 64
"""Points computed at a time."""


class HaltonSearcher:
    """Like Sobol, with no powers of two; good up to about 20 free parameters."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None."""

    def __init__(self, options: Options, space: Space) -> None:
        pass

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return point `number` of the sequence; where that configuration was tried or is forbidden, a random one."""
        d = len(view.space.dimensions)
        scramble = int(view.rng("halton-scramble", 0).integers(0, 2**62))
        reason = f"point {number} of a scrambled Halton sequence"
        point = _block(number // BLOCK, d, scramble)[number % BLOCK] if d else None
        return fresh(view, number, "halton", point, reason, priors=True)


@lru_cache(maxsize=8)
def _block(block: int, d: int, scramble: int) -> NDArray[np.float64]:
    from scipy.stats import (
        qmc,
    )  # here, because it takes half a second, and reading a study file does not need it

    engine = qmc.Halton(d, scramble=True, rng=np.random.Generator(np.random.PCG64(scramble)))
    engine.fast_forward(block * BLOCK)
    points: NDArray[np.float64] = engine.random(BLOCK)
    return points
