"""Several algorithms, several seeds each, in one world: how good, how soon, at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpo_pipe.simulate.contenders import Contender
from hpo_pipe.simulate.curves import Curves, Floats
from hpo_pipe.simulate.run import Run
from hpo_pipe.simulate.world import SimulatedStudy
from storage_schema.records import Study

SHARES = (0.1, 0.25, 0.5, 1.0)
POINTS = 240
"""Of a plotted line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all runs of a comparison share."""

    workers: int
    units: float = math.inf
    """After so many units trained a run is cut."""
    seconds: float = math.inf
    """After so much virtual time a run is cut."""
    startup_s: float = 0.0
    spread: float = 0.0
    tick_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, as far as it is compared."""

    seed: int
    times: Floats
    """When each unit was finished, shape (units,)."""
    losses: Floats
    """The best until then, +inf while there is none."""
    seconds: float
    trials: int
    full_trainings: int
    idle: float
    gpu_hours: float

    def at_units(self, units: float) -> float:
        """Return the best loss after so many units."""
        return self._at(int(min(units, len(self.losses))))

    def at_time(self, seconds: float) -> float:
        """Return the best loss by a time."""
        return self._at(int(np.searchsorted(self.times, seconds, side="right")))

    def _at(self, count: int) -> float:
        return float(self.losses[count - 1]) if count else math.inf


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its standard error; NaN: not known."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Estimate:
        """Return the estimate from one value for each seed; none where one of them is not finite."""
        found = np.array(list(values), dtype=np.float64)
        if not np.isfinite(found).all():
            return cls(math.nan, math.nan)
        error = float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else math.nan
        return cls(float(found.mean()), error)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out."""

    study: Study
    setting: Setting
    outcomes: dict[str, tuple[Outcome, ...]]
    """By algorithm, as it was written."""
    units: float
    """100 % of the resource: the budget, or what the longest run trained."""
    seconds: float
    """100 % of the time: the limit, or what the longest run took."""
    best: float | None
    """The best loss there is, where that is known."""
    notes: tuple[str, ...] = ()

    def over_units(self, label: str, share: float) -> Estimate:
        """Return the best value of the objective after a share of the budget."""
        return self._estimate(label, lambda run: run.at_units(share * self.units))

    def over_time(self, label: str, share: float) -> Estimate:
        """Return the best value of the objective after a share of the time."""
        return self._estimate(label, lambda run: run.at_time(share * self.seconds))

    def lines(self, label: str) -> tuple[Floats, Floats, Floats, Floats]:
        """Return units and time, each shape (points,), and the mean losses over them, NaN where a run has none."""
        shares = np.linspace(0.0, 1.0, POINTS + 1)[1:]
        runs = self.outcomes[label]
        by_units = [np.mean([run.at_units(share * self.units) for run in runs]) for share in shares]
        by_time = [np.mean([run.at_time(share * self.seconds) for run in runs]) for share in shares]
        return shares * self.units, shares * self.seconds, _known(by_units), _known(by_time)

    @property
    def sign(self) -> float:
        """From losses to values."""
        return 1.0 if self.study.objective.goal == "minimize" else -1.0

    def _estimate(self, label: str, loss: Callable[[Outcome], float]) -> Estimate:
        found = Estimate.of(loss(run) for run in self.outcomes[label])
        return Estimate(self.sign * found.mean, found.error)


def compare(
    contenders: Sequence[Contender],
    curves: Curves,
    setting: Setting,
    seeds: Sequence[int],
    begins: Callable[[str, int], object] = lambda label, seed: None,
    shuffled: bool = False,
) -> Comparison:
    """Run every contender with every seed.

    Args:
        contenders: with different labels.
        curves: what training gives.
        setting: of all runs.
        seeds: of the studies.
        begins: told of each run before it begins.
        shuffled: try enqueued configurations in an order of the seed's, but the first seed in their own.
    """
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    for each in contenders:
        runs = []
        for seed in seeds:
            begins(each.label, seed)
            study = replace(each.study, seed=seed)
            runs.append(
                _outcome(_reordered(study) if shuffled and seed != seeds[0] else study, curves, setting)
            )
        outcomes[each.label] = tuple(runs)
    all_runs = [run for runs in outcomes.values() for run in runs]
    study = contenders[0].study
    best = getattr(curves, "best", None)
    sign = 1.0 if study.objective.goal == "minimize" else -1.0
    return Comparison(
        study=study,
        setting=setting,
        outcomes=outcomes,
        units=setting.units if math.isfinite(setting.units) else max(len(run.times) for run in all_runs),
        seconds=setting.seconds if math.isfinite(setting.seconds) else max(run.seconds for run in all_runs),
        best=None if best is None else sign * best,
    )


def simulated(study: Study, curves: Curves, setting: Setting) -> Run:
    """Run one study."""
    world = SimulatedStudy(
        study,
        curves,
        setting.workers,
        startup_s=setting.startup_s,
        spread=setting.spread,
        tick_s=setting.tick_s,
    )
    return world.until(units=setting.units, seconds=setting.seconds)


def _outcome(study: Study, curves: Curves, setting: Setting) -> Outcome:
    run = simulated(study, curves, setting)
    times, losses = run.incumbent()
    if math.isfinite(setting.units):  # what was under way when the budget was spent may have ended past it
        times, losses = times[: int(setting.units)], losses[: int(setting.units)]
    return Outcome(
        seed=study.seed,
        times=times,
        losses=losses,
        seconds=run.ended_at,
        trials=len(run.history.trials),
        full_trainings=run.full_trainings,
        idle=max(0.0, run.idle_share),
        gpu_hours=run.busy_s / 3600.0,
    )


def _reordered(study: Study) -> Study:
    order = np.random.Generator(np.random.PCG64(study.seed)).permutation(len(study.enqueued))
    return replace(study, enqueued=tuple(study.enqueued[place] for place in order))


def _known(losses: Sequence[Any]) -> Floats:
    found = np.array(losses, dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)
