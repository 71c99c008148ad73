"""PriorBand: draws from the user's prior, from around the incumbent, and at random (Mallik et al. 2023).

arXiv:2306.12370. A trial that starts at rung r is random with probability 1 / (1 + eta^r). The rest is the prior's
until the search has found something to compare it with; from then on prior and incumbent share by how well each
explains the best configurations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.truncated_normal import draw, log_density
from hpo_pipe.observations import observations
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models.evidence import at_rung, furthest
from hpo_pipe.searchers.candidates import dimensions_of
from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import trial_name
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

DEVIATION = 0.25
"""Of a mutated number around the incumbent's, in the unit interval."""
MUTATION = 0.5
"""Probability that a parameter of the incumbent is changed."""


class PriorBandSearcher:
    """Registered as ``priorband``. Without any prior in the space, the prior is uniform."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None: the paper has none."""

    def __init__(self, options: Options, space: Space) -> None:
        pass

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a draw from one of the three."""
        d = len(view.space.dimensions)
        if not d:
            return fresh(view, number, "priorband")
        found = snapshot(view, number)
        random, prior, incumbent = shares(view, found, view.rung)
        rng = view.rng("priorband-choice", number)
        u, point = float(rng.random()), rng.random(d)
        said = f"of random {random:.0%}, prior {prior:.0%}, incumbent {incumbent:.0%}"
        if u < random:
            return fresh(view, number, "priorband", point, f"drawn at random ({said})")
        if u < random + prior:
            return fresh(view, number, "priorband", point, f"a draw ({said})", priors=True)
        data = furthest(found)
        best = data.order[0]
        point = around(data.rows[best], dimensions_of(view.space), rng)
        parent = trial_name(view, int(data.trials[best]))
        return fresh(view, number, "priorband", point, f"mutation of {parent} ({said})")


def shares(view: View, found: Snapshot, rung: int) -> tuple[float, float, float]:
    """Return the probabilities of a random configuration, one from the prior, and one around the incumbent.

    Args:
        view: the study.
        found: its results.
        rung: where the new trial starts, 0: the lowest.
    """
    from scipy.special import logsumexp

    levels = [each.level for each in view.history.rungs]
    eta = max(round(levels[1] / levels[0]), 2) if len(levels) > 1 else 3
    random = 1.0 / (1.0 + float(eta) ** rung)
    rest = 1.0 - random
    finished = int(np.isfinite(found.rungs).sum(axis=0)[-1])
    spent = int(observations(view).reached.sum())
    enough = [r for r in range(len(levels)) if len(at_rung(found, r).trials) >= eta]
    if not finished or spent < len(levels) * levels[-1] or not enough:
        return random, rest, 0.0
    data = at_rung(found, enough[-1])
    order = data.order[: max(eta, len(data.trials) // eta)]
    best = data.rows[order[np.isfinite(data.losses[order])]]
    if not len(best):
        return random, rest, 0.0
    weights = np.log(np.arange(len(best), 0, -1))
    overall = furthest(found)
    by_prior = logsumexp(weights + view.space.prior_log_density(best))
    by_incumbent = logsumexp(
        weights + around_log_density(best, overall.rows[overall.order[0]], dimensions_of(view.space))
    )
    # both scores in log space: what counts is their ratio
    prior = rest / (1.0 + float(np.exp(np.clip(by_incumbent - by_prior, -700.0, 700.0))))
    return random, prior, rest - prior


def around(row: Floats, dimensions: Dimensions, rng: np.random.Generator) -> Floats:
    """Return the incumbent, shape (d,), with each parameter changed with probability one half, and at least one."""
    d = len(row)
    change, u, level = rng.random(d) < MUTATION, rng.random(d), rng.random(d)
    change[int(rng.integers(0, d))] |= not change.any()
    centre = np.where(np.isnan(row), level, row)
    numbers = draw(u, centre, np.full(d, DEVIATION))
    steps = dimensions.steps
    other = (centre + steps * (1.0 + np.floor(u * np.maximum(np.array(dimensions.levels) - 1, 1)))) % 1.0
    return np.where(change, np.where(dimensions.unordered, other, numbers), centre)


def around_log_density(rows: Floats, incumbent: Floats, dimensions: Dimensions) -> Floats:
    """Return how likely rows, shape (m, d), are around the incumbent, relative to uniform draws, shape (m,)."""
    total = np.zeros(len(rows))
    for j, (levels, category) in enumerate(zip(dimensions.levels, dimensions.categories, strict=True)):
        known = ~np.isnan(rows[:, j])
        if np.isnan(incumbent[j]) or not known.any():
            continue
        column = rows[known, j]
        if category:
            same = np.isclose(column, incumbent[j])
            part = np.log(levels * np.where(same, 1.0 - MUTATION, MUTATION / (levels - 1)))
        else:
            part = log_density(column, np.array(incumbent[j]), np.array(DEVIATION))
        total[known] += part
    return total
