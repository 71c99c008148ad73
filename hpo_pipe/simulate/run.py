"""What a simulated search did, piece by piece."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from hpo_pipe.simulate.curves import Floats
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry


@dataclass(frozen=True, slots=True)
class Piece:
    """What one worker did for one spec, without a break."""

    spec: SpecId
    worker: int
    began: float
    """Virtual seconds."""
    ended: float
    times: Floats
    """When each unit was finished, rising."""
    losses: Floats
    """What it reported, as a loss; +inf where that is not finite."""


@dataclass(slots=True)
class Run:
    """What a simulated search did. All times are virtual seconds from its beginning."""

    history: History
    workers: int
    ended_at: float = 0.0
    busy_s: float = 0.0
    """Of all workers together."""
    units: int = 0
    """Units trained."""
    pieces: list[Piece] = field(default_factory=list)
    """In the order of their ends."""
    log: list[Entry] = field(default_factory=list)

    @property
    def idle_share(self) -> float:
        """The share of the workers' time in which they waited for work."""
        total = self.ended_at * self.workers
        return 1.0 - self.busy_s / total if total else 0.0

    @property
    def full_trainings(self) -> int:
        """How many trials were measured at the greatest resource."""
        top = self.history.rungs[-1]
        return sum(math.isfinite(loss) for loss, _ in top.ranking)

    def incumbent(self) -> tuple[Floats, Floats]:
        """Return the finishing time of every unit, rising, and the best loss until then; both shape (units,)."""
        if not self.pieces:
            return np.empty(0), np.empty(0)
        times = np.concatenate([piece.times for piece in self.pieces])
        losses = np.concatenate([piece.losses for piece in self.pieces])
        order = np.argsort(times, kind="stable")
        return times[order], np.minimum.accumulate(losses[order])
