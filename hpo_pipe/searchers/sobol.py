"""Quasi-random search: the points of one scrambled Sobol sequence (Sobol 1967; scrambled after Matousek 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

BLOCK = 256
"""Points computed at a time; a power of two, which is what the sequence is balanced for."""


class SobolSearcher:
    """Spreads trials evenly over the space, however many there will be."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None."""

    def __init__(self, options: Options, space: Space) -> None:
        pass

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return point `number` of the sequence; where that configuration was tried or is forbidden, a random one."""
        d = len(view.space.dimensions)
        scramble = int(view.rng("sobol-scramble", 0).integers(0, 2**62))
        reason = f"point {number} of a scrambled Sobol sequence"
        point = sobol_point(number, d, scramble) if d else None
        return fresh(view, number, "sobol", point, reason, priors=True)


def sobol_point(number: int, d: int, scramble: int) -> NDArray[np.float64]:
    """Return point `number`, shape (d,), of the sequence in [0, 1)^d that the seed `scramble` scrambles."""
    points: NDArray[np.float64] = _block(number // BLOCK, d, scramble)[number % BLOCK]
    return points


@lru_cache(maxsize=8)
def _block(block: int, d: int, scramble: int) -> NDArray[np.float64]:
    from scipy.stats import (
        qmc,
    )  # here, because it takes half a second, and reading a study file does not need it

    engine = qmc.Sobol(d, scramble=True, rng=np.random.Generator(np.random.PCG64(scramble)))
    if block:
        engine.fast_forward(block * BLOCK)
    points: NDArray[np.float64] = engine.random(BLOCK)
    return points
