"""BOHB's model: a density of good configurations over one of bad ones, at the highest rung that has enough of both.

Falkner, Klein and Hutter 2018 (arXiv:1807.01774), section 4 and Algorithm 2, with a mended density
(:mod:`hpo_pipe.models.kernel_density`). Trials that train now count as bad, so that many workers are not sent to the
same place. With the Hyperband scheduler this is BOHB; with ASHA, its asynchronous form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.models.acquisition import best_first
from hpo_pipe.models.kernel_density import KernelDensity, reference_bandwidths
from hpo_pipe.options import option
from hpo_pipe.results import Snapshot, snapshot
from hpo_pipe.rung_models.evidence import Measured, at_rung, level_name, open_rows
from hpo_pipe.searchers.candidates import FINE, Candidates, Start, dimensions_of, prior_of, suggested
from hpo_pipe.space import Space
from hpo_pipe.transfer.rows import counted
from hpo_pipe.view import Suggestion, View

Floats = NDArray[np.float64]

CAP = 1000
"""Rows of one density; of more, every so-manieth."""
RANKED = 24


class KdeSearcher:
    """Registered as ``kde``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """BOHB's, with its defaults."""

        n_min: int | None = option(None, low=1, high=10_000)
        """Least number of good, and of bad, configurations; d + 1."""
        top_n_percent: int = option(15, low=1, high=99)
        """Share of a rung's configurations that are good."""
        num_samples: int = option(64, low=1, high=10_000)
        """Candidates."""
        random_fraction: float = option(1 / 3, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""
        bandwidth_factor: float = option(3.0, low=0.1, high=100.0)
        """Candidates are drawn from kernels that are wider by this."""

    def __init__(self, options: Options, space: Space) -> None:
        self._options = options
        self._start = Start(trials=0, random_share=options.random_fraction)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the candidate that is likeliest among the good, compared with the bad."""
        return suggested(view, number, "kde", self._start, lambda: candidates(view, number, self._options))


def candidates(
    view: View, number: int, options: KdeSearcher.Options | None = None, *, origin: str = "kde"
) -> Candidates | None:
    """Return draws from the good ones, the best ratio first; None while no rung has enough of both."""
    options = options or KdeSearcher.Options()
    found = snapshot(view, number)
    least = options.n_min or len(view.space.dimensions) + 1
    model = next(
        (
            split
            for rung in reversed(range(found.rungs.shape[1]))
            if (split := _split(found, rung, least, options))
        ),
        None,
    )
    if model is None:
        return None
    data, good, bad = model
    rejected = np.vstack([_every(bad), open_rows(view, number, data.trials)])
    dimensions, prior = dimensions_of(view.space, FINE), prior_of(view.space)
    likely, unlikely = (
        KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows), prior=prior)
        for rows in (_every(good), rejected)
    )
    rng = view.rng(f"{origin}-candidates", number)
    drawn = view.space.snap(likely.sample(options.num_samples, rng, options.bandwidth_factor))
    drawn = drawn[view.space.permitted(drawn)]
    scores = likely.log_density(drawn) - unlikely.log_density(drawn)
    order = best_first(scores)[:RANKED]
    where = level_name(view, data.rung)

    def reason(score: float) -> str:
        return (
            f"density of the best {len(good)} of {counted(view, data.trials)} at {where}: "
            f"{np.exp(min(score, 50.0)):.3g} times as likely among them as among the others"
        )

    return Candidates(drawn[order], scores[order], reason)


def _split(
    found: Snapshot, rung: int, least: int, options: KdeSearcher.Options
) -> tuple[Measured, Floats, Floats] | None:
    """Return a rung's results, its good rows and its bad ones; None where there are not enough."""
    data = at_rung(found, rung)
    n = len(data.trials)
    if n < least + 2:
        return None
    n_good = max(least, options.top_n_percent * n // 100)
    n_bad = max(least, (100 - options.top_n_percent) * n // 100)
    good, bad = data.order[:n_good], data.order[n_good : n_good + n_bad]
    if len(bad) < least or not np.isfinite(data.losses[good]).all():
        return None
    return data, data.rows[good], data.rows[bad]


def _every(rows: Floats) -> Floats:
    """Return at most :data:`CAP` of rows that are sorted by loss, spread evenly."""
    return rows if len(rows) <= CAP else rows[np.arange(CAP) * len(rows) // CAP]
