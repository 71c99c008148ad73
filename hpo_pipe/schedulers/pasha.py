"""PASHA: ASHA whose greatest resource grows only while it changes the ranking.

Bohdal et al., ICLR 2023, arXiv:2207.06940, with the soft ranking of its section 4 and the noise estimate from curves
that criss-cross. For a greatest resource that is generous; never for one that trials are truly meant to reach.

The cap is a function of the history: it is the highest rung that any trial was sent to, and one more where the two
rungs below it disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.options import option
from hpo_pipe.ranking import best_first, grade
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.view import View

FIRST_RUNGS = 2
"""So many rungs are used from the beginning."""
NOISE_PERCENTILE = 90.0
NEWEST = 50
"""Trials whose curves are compared in pairs."""


class PashaScheduler(AshaScheduler):
    """Registered as ``pasha``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(AshaScheduler.Options):
        """As for ASHA."""

        noise_percentile: float = option(NOISE_PERCENTILE, low=0.0, high=100.0)
        """Of the differences between trials whose curves criss-cross: what counts as a tie."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._percentile = options.noise_percentile

    def _may_promote(self, view: View, place: int) -> bool:
        rungs = view.history.rungs
        top = max([FIRST_RUNGS - 1, *(k for k, rung in enumerate(rungs) if len(rung) or _sent_to(view, k))])
        return place + 1 <= top or (place == top and not self._agree(view, top))

    def _agree(self, view: View, top: int) -> bool:
        """Tell whether rung `top` ranks its members as the rung below does.

        Place by place, the trial there must be as good in the lower rung as the one that has the place there, up to
        the noise; of several objectives, on the same front.
        """
        rungs = view.history.rungs
        both = [trial for trial in best_first(view, top) if trial in rungs[top - 1]]
        if len(both) < 2:
            return True
        one = len(view.study.objectives) == 1
        noise = self._noise(view, both, rungs[top - 1].level, rungs[top].level) if one else 0.0
        there = set(both)
        order = [trial for trial in best_first(view, top - 1) if trial in there]
        grades = (
            (grade(view, top - 1, a), grade(view, top - 1, b)) for a, b in zip(both, order, strict=True)
        )
        return all(a == b or (a[0] == b[0] == 0 and abs(a[1] - b[1]) <= noise) for a, b in grades)

    def _noise(self, view: View, trials: list[int], low: int, high: int) -> float:
        """Return the tolerance: the percentile of |difference| over pairs that crossed and crossed back."""
        name = view.study.objective.name
        curves = [dict(view.history.trials[trial].curve(name)) for trial in sorted(trials)[-NEWEST:]]
        units = sorted(set.intersection(*(set(curve) for curve in curves)))
        values = np.array([[view.history.loss(curve[unit]) for unit in units] for curve in curves])
        first, second = np.triu_indices(len(curves), 1)
        with np.errstate(invalid="ignore"):  # inf - inf: two diverged curves, which say nothing
            apart = values[first] - values[second]
        window = np.array([low <= unit <= high for unit in units], dtype=bool)
        crossed = crisscrossed(apart) & window & np.isfinite(apart)
        return float(np.percentile(np.abs(apart[crossed]), self._percentile)) if crossed.any() else 0.0


def crisscrossed(apart: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell where the order of a pair differs from an earlier one and equals a still earlier one.

    Args:
        apart: differences of pairs over time, shape (pairs, units).
    """
    better = apart < 0
    changes = np.cumsum(better[:, 1:] != better[:, :-1], axis=1)
    return np.pad(changes >= 2, ((0, 0), (1, 0)))


def _sent_to(view: View, place: int) -> bool:
    """Tell whether a trial was issued to rung `place`: promotions from below name it."""
    return place > 0 and bool(view.history.rungs[place - 1].promoted)
