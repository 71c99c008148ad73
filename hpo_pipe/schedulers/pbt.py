"""Population based training: Jaderberg et al. 2017, arXiv:1711.09846, with truncation selection.

Every member of a population trains to its next ready step and is paused there. Then it is decided on, once: it goes on,
or, if it is among the worst, its place is taken by a clone of one of the best, which starts from that one's checkpoint
with a configuration near that one's. A clone is a trial of its own with a parent, so nothing in the record changes.

Synchronous, all members are compared at the same generation, and decisions do not depend on who came first.
Asynchronous, nobody waits: a member is compared by the newest results of all, and only those that have trained at
least as far are cloned, so that no training is thrown away. A member that failed, or has no finite result, is last, and
its place is taken whatever its rank; it is lost where there is nobody to clone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hpo_pipe.options import Refused, option
from hpo_pipe.schedulers.exploring import Exploration, explored
from hpo_pipe.schedulers.population import Population, Ranking
from hpo_pipe.view import Clone, Done, Move, Promote, Sample, Stop, View
from storage_schema.codec import Json
from storage_schema.trial_state import TrialState

GENERATIONS = 10
"""As many as there are without an interval."""
MAX_GENERATIONS = 500
MAX_TOLD = 6
"""Changes of parameters that a reason names."""


class PbtScheduler:
    """Registered as ``pbt``."""

    needs_resource = True
    finite = True
    keeps_checkpoints = True
    origin: ClassVar[str] = "pbt"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the paper and of Ray Tune, by their names there."""

        population_size: int = option(20, low=2, high=1000)
        interval: int | None = option(None, low=1)
        """Units of training between two decisions on a member; a tenth of the greatest resource, at least 1."""
        quantile_fraction: float = option(0.25, low=0.01, high=0.5)
        """The share of the best, which are cloned, and of the worst, whose places are taken."""
        resample_probability: float = option(0.25, low=0.0, high=1.0)
        perturbation_factors: tuple[float, ...] = option((0.8, 1.25))
        """Of numbers on logarithmic scales: one below 1, and one above."""
        perturbation_step: float = option(0.1, low=1e-6, high=1.0)
        """Of other numbers, as a share of their range."""
        synchronous: bool = option(True)

        def __post_init__(self) -> None:
            given = self.perturbation_factors
            numbers = [f for f in given if isinstance(f, int | float) and not isinstance(f, bool)]
            if len(given) != 2 or len(numbers) != 2 or not 1e-3 <= min(numbers) < 1 < max(numbers) <= 1e3:
                allowed = "a number from 0.001 to below 1, and one from above 1 to 1000"
                raise Refused("perturbation_factors", list(given), allowed)

    def __init__(self, options: Options) -> None:
        self._options = options
        factors = options.perturbation_factors
        self._exploration = Exploration(
            resample=options.resample_probability,
            down=min(factors),
            up=max(factors),
            step=options.perturbation_step,
        )

    @staticmethod
    def levels(options: Options, low: int, high: int) -> tuple[int, ...]:
        """Return every multiple of the interval from `low` on, and `high`.

        Raises:
            Refused: these are too many, or only one.
        """
        interval = options.interval or max(1, high // GENERATIONS)
        if -(-high // interval) > MAX_GENERATIONS:
            least = -(-high // MAX_GENERATIONS)
            raise Refused("interval", interval, f"at least {least}: {MAX_GENERATIONS} generations at most")
        first = -(-low // interval) * interval
        if first >= high:
            allowed = f"less, so that members are compared from resource.min ({low}) on, before {high}"
            raise Refused("interval", interval, allowed)
        return (*range(first, high, interval), high)

    def next_move(self, view: View) -> Move | None:
        """Return a new member until the population is complete; then the next decision on one that is ready."""
        population = Population(view)
        if len(population) < self._options.population_size:
            return self._sample(view, len(population))
        return self._decision(view, population)

    def next_promotion(self, view: View) -> Move | None:
        """Return the next decision on a member, of a population that is as large as it can get."""
        return self._decision(view, Population(view))

    def _sample(self, view: View, member: int) -> Sample:
        place = f"member {member + 1} of a population of {self._options.population_size}"
        return Sample(
            bracket=member, rung=0, reason=f"{place}; ready at {_unit(view)} {view.history.rungs[0].level}"
        )

    def _decision(self, view: View, population: Population) -> Move | None:
        for trial, clone in population.superseded():
            return Stop(trial=trial, reason=f"its place in the population was taken by trial {clone}")
        for member in population.ready():
            generation = population.now(member).rung
            if self._options.synchronous and not population.complete(generation):
                continue
            if (move := self._decided(view, population, member)) is not None:
                return move
        return None if view.history.open or view.history.reissue else _end(view, population)

    def _decided(self, view: View, population: Population, member: int) -> Promote | Clone | None:
        """Return what becomes of a member that is ready; None where it is lost, and cannot be replaced."""
        trial = population.now(member)
        ranking = (
            population.of_generation(trial.rung) if self._options.synchronous else population.of_newest()
        )
        n = len(ranking)
        share = min(math.ceil(self._options.quantile_fraction * n - 1e-9), n // 2)
        lost = population.lost(trial) or ranking.failed(trial.number)
        if (lost or ranking.place(trial.number) >= n - share) and _may_clone(view):
            found = [(s, population.source(ranking, s, trial.rung)) for s in ranking.best_first[:share]]
            sources = [(s, checkpoint) for s, checkpoint in found if checkpoint is not None]
            if sources:
                drawn = int(self._rng_of(view, "source", trial).integers(0, len(sources)))
                source, checkpoint = sources[drawn]
                parameters, how = self._explored(view, trial, source, ranking.rung(source))
                return Clone(
                    trial=source,
                    checkpoint=checkpoint,
                    bracket=member,
                    rung=ranking.rung(source) + 1,
                    parameters=parameters,
                    origin=self.origin,
                    reason=self._why_cloned(view, ranking, trial, source, share) + how,
                )
        if lost:
            return None
        return Promote(
            trial=trial.number, rung=trial.rung + 1, reason=self._why_kept(view, ranking, trial, share)
        )

    def _explored(
        self, view: View, trial: TrialState, source: int, rung: int
    ) -> tuple[Mapping[str, Json], str]:
        """Return the configuration of the clone of `source` from rung `rung` that takes a trial's place, and why."""
        before = view.history.trials[source].parameters
        rng = self._rng_of(view, "explore", trial)
        after = explored(view.space, before, self._exploration, rng)
        return after, f"perturbed: {changes(before, after)}"

    def _rng_of(self, view: View, purpose: str, trial: TrialState) -> np.random.Generator:
        """Return the generator of a decision: of one member at one generation."""
        return view.rng(f"{self.origin}-{purpose}", trial.bracket * len(view.history.rungs) + trial.rung)

    def _why_cloned(self, view: View, ranking: Ranking, trial: TrialState, source: int, share: int) -> str:
        whose = f"trial {trial.number} ({self._standing(view, ranking, trial.number)})"
        rule = f"the worst {share} of {len(ranking)} give way to clones of the best {share}"
        parent = f"trial {source} ({self._standing(view, ranking, source)})"
        return f"takes the place of {whose}; {rule}: of {parent}, "

    def _why_kept(self, view: View, ranking: Ranking, trial: TrialState, share: int) -> str:
        standing = self._standing(view, ranking, trial.number)
        if ranking.place(trial.number) < len(ranking) - share:
            return f"{standing}; only the worst {share} give way to clones"
        why = "no better one has left a checkpoint" if _may_clone(view) else "the limit on trials is reached"
        return f"{standing}; among the worst {share}, but {why}"

    def _standing(self, view: View, ranking: Ranking, trial: int) -> str:
        level = view.history.rungs[ranking.rung(trial)].level
        place = f"rank {ranking.place(trial) + 1} of {len(ranking)} at {_unit(view)} {level}"
        return f"{place}, {ranking.figures(trial)}"


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> str:
    """Return what differs between two configurations, for people."""
    found = [
        f"{name} {_short(before[name])} to {_short(value)}" if name in before else f"{name} {_short(value)}"
        for name, value in after.items()
        if name not in before or before[name] != value
    ]
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return (", ".join(found[:MAX_TOLD]) + more) or "nothing, as it happens"


def _short(value: Json) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:40]


def _may_clone(view: View) -> bool:
    limit = view.history.limits.trials
    return limit is None or len(view.history.trials) < limit


def _end(view: View, population: Population) -> Done:
    now = [population.now(member) for member in range(len(population))]
    done = sum(view.history.state(trial) == "COMPLETE" for trial in now)
    what = f"{_unit(view)} {view.history.rungs[-1].level}"
    if done == len(now):
        return Done(reason=f"all {done} members of the population have trained to {what}")
    return Done(
        reason=f"{done} of {len(now)} members of the population have trained to {what}; the others failed, and there "
        "was none to clone in their places"
    )


def _unit(view: View) -> str:
    return view.study.resource.name if view.study.resource else "step"
