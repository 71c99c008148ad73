"""What the log knows of one spec and of one trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    progress: Mapping[str, Curve] = field(default_factory=dict)
    """Metric to what was reported at milestones, before it was settled."""
    progress_at: tuple[tuple[int, int], ...] = ()
    """The resource that progress had come to, and the entry whose facts told of it, in the order of the log."""

    def curve(self, metric: str) -> Curve:
        """Return the curve of `metric`: the record's, or while there is none, what was reported on the way."""
        if self.settled is not None and metric in self.settled.curves:
            return self.settled.curves[metric]
        return self.progress.get(metric, ())


@dataclass(slots=True, kw_only=True)
class TrialState:
    """A trial as the log knows it."""

    number: int
    parameters: dict[str, Json]
    origin: str
    bracket: int
    parent: int | None = None
    """The trial whose checkpoint it was started from; None if it began with nothing."""
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
        return next(self.checkpoints(), None)

    def checkpoints(self) -> Iterator[CheckpointRef]:
        """Yield the checkpoints that its settled specs ended with, newest first; a parent's is none of them."""
        named = (spec.settled.checkpoint for spec in reversed(self.specs) if spec.settled)
        return (checkpoint for checkpoint in named if checkpoint is not None)

    def committed(self, most: int) -> CheckpointRef | None:
        """Return the newest of :meth:`checkpoints` with at most so many units behind it."""
        return next((found for found in self.checkpoints() if found.resource <= most), None)

    @property
    def inherited(self) -> CheckpointRef | None:
        """The parent's checkpoint that its first spec starts from."""
        return None if self.parent is None else self.specs[0].issue.checkpoint

    def curve(self, metric: str) -> Curve:
        """Return the canonical curve of `metric` over all specs: one value per resource, rising."""
        points: dict[int, float | None] = {}
        for spec in self.specs:
            points.update(spec.curve(metric))
        return tuple(sorted(points.items()))


@dataclass(frozen=True, slots=True)
class Seen:
    """The best value of the objective that was reported anywhere."""

    loss: float
    trial: int
    resource: int
