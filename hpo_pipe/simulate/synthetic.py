"""Built-in synthetic curves over any space: made up, but of the kinds that real training shows.

A landscape is drawn for each family: the best configuration, which is an allowed one of the space; how much each
parameter matters; and two more projections of the space that speed and trouble follow. Losses lie between
:data:`BEST` and 1. The curve of a configuration is a function of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hpo_pipe.simulate.curves import Curve, Floats
from hpo_pipe.space import Space
from storage_schema.codec import Json

BEST = 0.1
"""The loss of the best configuration after a whole training."""
RANGE = 0.5
TRAINING_S = 3600.0
"""A whole training of a configuration of middling speed."""
NOISE = 0.05
MAX_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Traits:
    """What the landscape says of a configuration; all in [0, 1]."""

    distance: float
    """From the best one: 0 is the best."""
    speed: float
    trouble: float
    """0 for the best one."""
    noise: Floats
    """One uniform draw for each unit, shape (units,)."""


Family = Callable[[Traits, Floats], Floats]
"""(traits, share of a whole training that is done, shape (units,)) to losses; fewer for one that crashes."""


def power_law(of: Traits, done: Floats) -> Floats:
    """Power laws with different rates and ends."""
    return _falling(_end(of), 0.6 + 0.9 * of.speed, done)


def crossing(of: Traits, done: Floats) -> Floats:
    """The better a configuration ends, the slower it begins: early rankings mislead."""
    return _falling(_end(of), 0.1 + 8.0 * of.distance**2 + 0.2 * of.speed, done)


def noisy(of: Traits, done: Floats) -> Floats:
    """Power laws with noise that gets less as training goes on; it only ever makes a loss worse."""
    found: Floats = power_law(of, done) + 4 * NOISE * of.noise * (1.0 - 0.7 * done)
    return found


def diverging(of: Traits, done: Floats) -> Floats:
    """Power laws, of which some diverge to NaN on the way, and some crash."""
    found = power_law(of, done)
    onset = 0.05 + 0.5 * of.speed
    if of.trouble > 0.6:
        return found[done < onset]
    if of.trouble > 0.4:
        late = done >= onset
        found[late] *= 1.0 + 40.0 * (done[late] - onset)
        found[done >= onset + 0.2] = np.nan
    return found


def useless_rung(of: Traits, done: Floats) -> Floats:
    """Nothing but noise for the first 7 % of a training, and power laws from there on."""
    begun = np.clip((done - WARM_UP) / (1.0 - WARM_UP), 0.0, 1.0)
    found: Floats = power_law(of, begun) + np.where(done <= WARM_UP, NOISE * of.noise, 0.0)
    return found


WARM_UP = 0.07

FAMILIES: dict[str, Family] = {
    "power_law": power_law,
    "crossing": crossing,
    "noisy": noisy,
    "diverging": diverging,
    "useless_rung": useless_rung,
}
"""By name. Adding one means one function and one line."""


class Synthetic:
    """A world of made-up curves.

    Args:
        family: a name in :data:`FAMILIES`.
        space: what is searched.
        top: units of a whole training; 1 where trainings have no units.
        sign: 1.0 where the objective is minimised, -1.0 where it is maximised.
    """

    def __init__(self, family: str, space: Space, top: int, sign: float = 1.0) -> None:
        self._family = FAMILIES[family]
        self._space = space
        self._top = top
        self._sign = sign
        rng = _stream(f"landscape {family}")
        d = len(space.dimensions)
        self._best = _allowed(space, rng)
        self._hidden = rng.random(d)
        weights = np.exp(-2.0 * rng.random(d))
        self._weights = weights / weights.sum() if d else weights
        self._costs = rng.random((max(d, 1), 64))
        self._turns = 2.0 * rng.random((3, d)) - 1.0
        self.best = sign * BEST

    def curve(self, parameters: Mapping[str, Json], units: int) -> Curve:
        """Return a configuration's curve."""
        done = np.arange(1, units + 1) / self._top
        place = self._space.encode(parameters)
        seconds = TRAINING_S * 4.0 ** (self._wave(place, 2) - 0.5) * done
        values = self._sign * self._family(self._traits(parameters, place, units), np.minimum(done, 1.0))
        return Curve(values, seconds[: max(len(values), 1)])

    def _traits(self, parameters: Mapping[str, Json], place: Floats, units: int) -> Traits:
        noise = _stream(self._space.identity(parameters)).random(units)
        trouble = abs(self._wave(place, 1) - self._wave(self._best, 1))
        return Traits(self._distance(place), self._wave(place, 0), trouble, noise)

    def _distance(self, place: Floats) -> float:
        total = 0.0
        for column, kind in enumerate(self._space.kinds):
            here, best = float(place[column]), float(self._best[column])
            if np.isnan(here):
                continue
            best = float(self._hidden[column]) if np.isnan(best) else best
            if kind.kind == "category":
                apart = (
                    0.0
                    if here == best
                    else 0.3 + 0.7 * float(self._costs[column, int(here * kind.levels) % 64])
                )
            else:
                apart = abs(here - best) / max(best, 1.0 - best)
            total += float(self._weights[column]) * apart
        return min(total, 1.0)

    def _wave(self, place: Floats, which: int) -> float:
        filled = np.where(np.isnan(place), 0.5, place)
        return 0.5 + 0.5 * float(np.sin(4.0 * (self._turns[which] @ filled) + which))


def _end(of: Traits) -> float:
    return BEST + RANGE * of.distance


def _falling(end: float, rate: float, done: Floats) -> Floats:
    """Return a power law from 1 that comes to `end` after a whole training."""
    last = 61.0**-rate
    found: Floats = end + (1.0 - end) * ((1.0 + 60.0 * done) ** -rate - last) / (1.0 - last)
    return found


def _allowed(space: Space, rng: np.random.Generator) -> Floats:
    """Return where some allowed configuration lies."""
    for _ in range(MAX_DRAWS):
        found = space.decode(rng.random(len(space.dimensions)))
        if space.allowed(found):
            break
    return space.encode(found)


def _stream(word: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(word.encode()))))
