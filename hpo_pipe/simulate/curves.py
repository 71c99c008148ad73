"""Where simulated trials get their curves from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storage_schema.codec import Json

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """What training a configuration from nothing reports, unit by unit."""

    values: Floats
    """The objective after 1, 2, ... units, shape (units,); NaN and infinities are reported as such.

    Fewer than were asked for: training crashes after the last of them, however often it is tried.
    """
    seconds: Floats
    """The time that this has taken so far, shape (units,), rising."""


class Curves(Protocol):
    """A world of curves: what is simulated instead of training.

    It may have an attribute ``best``: the best value of the objective that any configuration can report.
    """

    def curve(self, parameters: Mapping[str, Json], units: int) -> Curve:
        """Return at least the first `units` units of a configuration's curve; the same ones every time.

        In a study without a resource a whole training is one unit.
        """
        ...
