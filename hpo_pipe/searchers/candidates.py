"""What searchers with a model share: how they start, their random share, and from ranked candidates to a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import search
from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.kernel_density import UNIFORM, Prior
from hpo_pipe.models.threads import one_thread
from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.searchers.sobol import sobol_point
from hpo_pipe.searchers.tried import tried
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import parents_of
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

PRIOR_WEIGHT = 10.0
"""Of the user's prior in an acquisition, divided by the number of results (Hvarfner et al. 2022, arXiv:2204.11051)."""
FINE = 64
"""A number with more values than this is continuous to a density."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Configurations that a model proposes, best first."""

    rows: Floats
    """Shape (m, d)."""
    scores: Floats
    """Of the model, shape (m,), greatest first."""
    reason: Callable[[float], str]
    """From a score to why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What comes before a model, and beside it."""

    trials: int
    """How many trials are spread over the space first."""
    random_share: float
    """The probability that a configuration is drawn at random: what no model can be argued out of."""

    @classmethod
    def of(cls, trials: int | None, random_share: float, space: Space) -> Start:
        """Return a start; without a number of trials, 8, or one more than there are parameters, up to 24."""
        return cls(
            trials=min(max(8, len(space.dimensions) + 1), 24) if trials is None else trials,
            random_share=random_share,
        )


def suggested(
    view: View, number: int, origin: str, start: Start, model: Callable[[], Candidates | None]
) -> Suggestion | None:
    """Return the model's best new configuration; a point of a Sobol sequence as long as it has none.

    Args:
        view: the study.
        number: the trial to be.
        origin: the searcher's name.
        start: what comes before the model.
        model: its candidates, or None while it knows too little.
    """
    if not view.space.dimensions:
        return fresh(view, number, origin)
    if number + parents_of(view) < start.trials:
        return spread(view, number, origin, f"one of the first {start.trials}")
    if float(view.rng(f"{origin}-share", number).random()) < start.random_share:
        reason = f"the random share of {start.random_share:.0%}"
        return _random(view, number, origin, reason)
    with one_thread():
        found = model()
    if found is None:
        return spread(view, number, origin, "too few results for a model")
    return chosen_from(view, number, origin, found)


def spread(view: View, number: int, origin: str, why: str) -> Suggestion | None:
    """Return point `number` of a scrambled Sobol sequence, through the user's priors."""
    d = len(view.space.dimensions)
    scramble = int(view.rng("sobol-scramble", 0).integers(0, 2**62))
    reason = f"{why}: point {number} of a scrambled Sobol sequence"
    return fresh(view, number, origin, sobol_point(number, d, scramble) if d else None, reason, priors=True)


def chosen_from(view: View, number: int, origin: str, candidates: Candidates) -> Suggestion | None:
    """Return the best candidate that was not tried; where all were, a random configuration."""
    space, known = view.space, tried(view.history, view.space)
    for row, score in zip(candidates.rows, candidates.scores.tolist(), strict=True):
        parameters = space.decode(row)
        if space.identity(parameters) not in known and space.allowed(parameters):
            return Suggestion(parameters=parameters, origin=origin, reason=candidates.reason(score))
    return _random(view, number, origin, "all that the model proposed was tried already")


def searched(
    view: View, number: int, origin: str, best: Floats, score: Callable[[Floats], Floats], results: int
) -> tuple[Floats, Floats]:
    """Return what an acquisition function likes best: rows, shape (m, d), and scores, shape (m,).

    Args:
        view: the study.
        number: the trial to be, which keys the candidates.
        origin: the searcher's name.
        best: configurations that the model likes best, shape (k, d).
        score: a logarithm of what a row is worth.
        results: how many there are; the more, the less the user's priors count.
    """
    space = view.space
    dimensions = dimensions_of(space)

    def weighted(rows: Floats) -> Floats:
        found = score(rows)
        if space.has_priors:
            found = found + PRIOR_WEIGHT / max(results, 1) * space.prior_log_density(rows)
        return found

    rng = view.rng(f"{origin}-candidates", number)
    return search(space, dimensions.levels, dimensions.categories, rng, best, weighted)


def dimensions_of(space: Space, fine: int | None = None) -> Dimensions:
    """Return the free parameters as models see them; numbers with more than `fine` values as continuous."""
    levels = [
        0 if fine is not None and kind.kind == "number" and kind.levels > fine else kind.levels
        for kind in space.kinds
    ]
    return Dimensions(tuple(levels), tuple(kind.kind == "category" for kind in space.kinds))


def prior_of(space: Space) -> Prior:
    """Return the user's priors as a component of a density; uniform where there are none."""
    return Prior(space.prior_log_density, space.from_prior) if space.has_priors else UNIFORM


def _random(view: View, number: int, origin: str, reason: str) -> Suggestion | None:
    point = view.rng(f"{origin}-random", number).random(len(view.space.dimensions))
    return fresh(view, number, origin, point, f"{reason}: drawn at random", priors=True)
