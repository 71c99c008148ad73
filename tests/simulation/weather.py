"""When what goes wrong: faults of calls, storms, and the moment when it clears up."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.faults import APPLY, Dice, Fault
from tests.simulation.recipe import Recipe

if TYPE_CHECKING:
    from tests.simulation.processes import Actor

LONGEST_LATENESS_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """The only fault of a history: at call number `call` of all, counted from 0."""

    call: int
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """A time in which a share of some processes' calls fails."""

    begin: float
    end: float
    share: float
    fault: Fault
    of_two: int
    """0 and 1: every other process; 2: all."""


class Weather:
    """Decides which fault befalls a call."""

    def __init__(self, recipe: Recipe, single: Single | None = None) -> None:
        self.clear = False
        self.calls = 0
        self.verbs: list[str] | None = None
        """Of a rehearsal: the verb of each call."""
        self.single = single
        self._dice = Dice(recipe.rates)
        self._recipe = recipe
        self._rng = random.Random(f"weather/{recipe.seed}")
        self.storms = [self._storm() for _ in range(recipe.storms)]
        self.clear_since = math.inf

    def fault(self, actor: Actor, verb: str) -> Fault | None:
        """Return what befalls the next call."""
        self.calls += 1
        if self.verbs is not None:
            self.verbs.append(verb)
        if self.clear:
            return None
        if self.single is not None:
            hit = self.single.call == self.calls - 1 and self.single.fault in APPLY[verb]
            return self.single.fault if hit else None
        now, rng = actor.process.hub.now, actor.process.rng
        for storm in self.storms:
            hit = storm.begin <= now < storm.end and storm.of_two in (2, hash_of(actor.name) % 2)
            if hit and rng.random() < storm.share:
                return storm.fault
        return self._dice.draw(verb, rng)

    def lateness_s(self, rng: random.Random) -> float:
        """Draw how late a late request lands, seconds; some come long after everything else."""
        return (
            rng.choice((1.0, self._recipe.lease_s * 2, self._recipe.clear_s, LONGEST_LATENESS_S))
            * rng.random()
        )

    def _storm(self) -> Storm:
        rng = self._rng
        begin = rng.uniform(0.0, self._recipe.clear_s)
        return Storm(
            begin=begin,
            end=begin + rng.uniform(1.0, 3 * self._recipe.lease_s),
            share=rng.choice((0.5, 0.8, 1.0)),
            fault=rng.choice((Fault.SLOW_DOWN, Fault.SLOW_DOWN, Fault.DENIED, Fault.LOST_ANSWER)),
            of_two=rng.choice((0, 1, 2, 2)),
        )


def hash_of(name: str) -> int:
    """Return a number for a name, the same in every process."""
    return sum(name.encode())
