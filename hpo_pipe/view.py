"""What algorithms see, and what they answer. All of it is values: no clock, no store, no hidden state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hpo_pipe.space import Space
from storage_schema.codec import Json
from storage_schema.history import History
from storage_schema.records import CheckpointRef, Study


@dataclass(frozen=True, slots=True)
class View:
    """A study as a scheduler or searcher sees it: read, never changed."""

    study: Study
    space: Space
    history: History
    rung: int = 0
    """The rung towards which the trial that a searcher is asked for will start."""

    @classmethod
    def of(cls, history: History) -> View:
        """Return the view of a history's study.

        Raises:
            StudyFileError: its space is not one that this version reads.
        """
        study = history.study
        return cls(study, Space.from_json(study.space, constraints=study.constraints), history)

    def rng(self, purpose: str, number: int) -> np.random.Generator:
        """Return the generator for one draw, keyed by content: study seed, purpose, trial number.

        The same study, purpose and number give the same stream in every process and on every machine. Draw only
        ``random()`` and ``integers()`` from it: numpy keeps those streams stable across versions.
        """
        word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.study.seed, word, number])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Move: start a new trial in `bracket`, towards rung `rung`."""

    bracket: int
    rung: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Move: train a paused trial on to rung `rung`."""

    trial: int
    rung: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """Move: start a new trial where a checkpoint of another one ends, towards rung `rung`, which must lie further on.

    A scheduler makes none beyond the limit on trials.
    """

    trial: int
    """The source."""
    checkpoint: CheckpointRef
    """One that the log names as left by a spec of the source."""
    bracket: int
    rung: int
    parameters: Mapping[str, Json]
    origin: str
    """Who proposed the parameters: the scheduler's registered name."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Move: end a trial."""

    trial: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Move: the search is complete."""

    reason: str


Move = Sample | Promote | Clone | Stop | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A searcher's answer."""

    parameters: Mapping[str, Json]
    origin: str
    """Who proposed it: the searcher's registered name, or a part of it."""
    reason: str


class Scheduler(Protocol):
    """Decides which trial trains how far. Built from its options in the study; keeps no state."""

    def next_move(self, view: View) -> Move | None:
        """Return the next move, or None while there is nothing to do but wait for results.

        Called again and again within one decision, each time with the moves before it already folded in. A
        `Sample` is always answerable by "no": limits and an exhausted space turn it away, and then the scheduler is
        asked through :meth:`next_promotion` only.
        """
        ...

    def next_promotion(self, view: View) -> Move | None:
        """Return the next move that needs no new configuration, or None."""
        ...


@runtime_checkable
class Judge(Protocol):
    """A scheduler that also looks at running trials, at the milestones that it names when the study is created."""

    @staticmethod
    def milestones(options: Any, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return the resources at which running trials are looked at, rising, at most the last rung."""
        ...

    def judge(self, view: View) -> Iterator[Stop]:
        """Yield whom to stop of those that have just reported (`History.news`); each at most once.

        Asked once for each report, with all reports that came with it already known, and never again for the same one:
        later results do not reverse what was decided on earlier ones.
        """
        ...


class Searcher(Protocol):
    """Proposes configurations. Built from its options and the space; keeps no state."""

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the configuration of trial `number`, or None where the space is exhausted."""
        ...
