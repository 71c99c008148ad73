"""What the log knows of one spec and of one trial."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage_schema.codec import Json
from storage_schema.keys import SpecId
from storage_schema.records import CheckpointRef, Curve, Issue, SettledSpec


@dataclass(slots=True, kw_only=True)
class SpecState:
    """A spec as the log knows it."""

    id: SpecId
    issue: Issue
    settled: SettledSpec | None = None
    settled_at: int = -1
    """The entry whose facts told how it ended; -1 while it is open."""


@dataclass(slots=True, kw_only=True)
class TrialState:
    """A trial as the log knows it."""

    number: int
    parameters: dict[str, Json]
    origin: str
    bracket: int
    specs: list[SpecState] = field(default_factory=list)
    stopped: str = ""
    """Why it was stopped for good; empty if it was not."""

    @property
    def last(self) -> SpecState:
        """The newest spec."""
        return self.specs[-1]

    @property
    def open(self) -> bool:
        """Whether a spec of it is waiting or running."""
        return self.specs[-1].settled is None

    @property
    def failed(self) -> bool:
        """Whether its newest spec ended in failure."""
        settled = self.specs[-1].settled
        return settled is not None and settled.outcome == "fail"

    @property
    def rung(self) -> int:
        """The rung of the newest spec."""
        return self.specs[-1].issue.rung

    @property
    def resource(self) -> int:
        """Units of training that count: the target of the newest done spec, 0 before."""
        return next(
            (s.issue.to for s in reversed(self.specs) if s.settled and s.settled.outcome == "done"), 0
        )

    def checkpoint(self) -> CheckpointRef | None:
        """Return the newest checkpoint that the log names."""
        named = (s.settled.checkpoint for s in reversed(self.specs) if s.settled)
        return next((c for c in named if c is not None), None)

    def curve(self, metric: str) -> Curve:
        """Return the canonical curve of `metric` over all settled specs: one value per resource, rising."""
        points: dict[int, float | None] = {}
        for spec in self.specs:
            if spec.settled:
                points.update(dict(spec.settled.curves.get(metric, ())))
        return tuple(sorted(points.items()))


@dataclass(frozen=True, slots=True)
class Seen:
    """The best value of the objective that was reported anywhere."""

    loss: float
    trial: int
    resource: int
