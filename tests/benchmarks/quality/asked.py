"""Tuners that are asked and told, with workers in the same virtual time as hpo-pipe's simulated ones.

A discrete-event simulation. All that happens at one moment is told, earliest asked first, before anybody asks. Deciding
takes no virtual time. A configuration goes on from its checkpoint: only new epochs take time and count. Needs numpy
alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tests.benchmarks.quality.accounting import Floats, Ran
from tests.benchmarks.quality.tasks import Task

MOST_REPEATS = 10_000
"""Answers from what is trained already, one after another."""


@dataclass(frozen=True)
class Job:
    """What a tuner wants trained."""

    parameters: Mapping[str, Any]
    key: Hashable
    """Of the configuration: what was trained under the same key is gone on from."""
    target: int
    """Epochs, from nothing on."""
    stops: tuple[int, ...] = ()
    """Epochs before the target at which the tuner is told, and may end it."""
    payload: Any = None
    """The tuner's own."""

    def next_stop(self, epoch: int) -> int:
        """Return where it is told next."""
        return min((stop for stop in self.stops if epoch < stop < self.target), default=self.target)


class Tuner(Protocol):
    """A search in other hands."""

    def ask(self) -> Job | None:
        """Return what is to be trained; None: nothing before another result is told."""

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        """Take in a result; return whether to go on to the job's next stop."""


@dataclass
class _Work:
    """A job in a worker's hands, up to its next stop."""

    job: Job
    number: int
    worker: int
    began: float
    start: int
    epoch: int
    times: list[Floats] = field(default_factory=list)
    losses: list[Floats] = field(default_factory=list)

    def train(self, task: Task, now: float) -> float:
        """Lay out the epochs up to the next stop, and return when it is reached."""
        stop = self.job.next_stop(self.epoch)
        curve = task.curve(self.job.parameters, stop)
        before = float(curve.seconds[self.epoch - 1]) if self.epoch else 0.0
        self.times.append(now + (np.asarray(curve.seconds[self.epoch : stop]) - before))
        self.losses.append(np.asarray(curve.values[self.epoch : stop]))
        self.epoch = stop
        return float(self.times[-1][-1])


class AskedStudy:
    """A tuner's search in a world of curves.

    Args:
        tuner: who decides.
        task: what training gives.
        workers: one slot each.
    """

    def __init__(self, tuner: Tuner, task: Task, workers: int) -> None:
        self._tuner = tuner
        self._task = task
        self._workers = workers
        self._free = list(range(workers))
        self._events: list[tuple[float, int, _Work]] = []
        self._trained: dict[Hashable, int] = {}
        self._asked = 0
        self._now = 0.0
        self._epochs = 0  # of the jobs that have ended
        self._busy_s = 0.0
        self._pieces: list[tuple[Floats, Floats]] = []

    def until(self, enough: Callable[[int, float], bool]) -> Ran:
        """Run until `enough` says so of the epochs of ended jobs and of the time, then break off; call it once."""
        self._assign()
        while not enough(self._epochs, self._now):
            if not self._events:
                raise RuntimeError("all workers are idle, and the tuner has nothing to train")
            self._step()
        for _, _, work in self._events:
            self._leave(work)
        total = self._now * self._workers
        idle = 1.0 - self._busy_s / total if total else 0.0
        return Ran.of(self._pieces, self._now, idle, len(self._trained))

    def _step(self) -> None:
        self._now = self._events[0][0]
        while self._events and self._events[0][0] == self._now:
            work = heapq.heappop(self._events)[2]
            self._trained[work.job.key] = max(self._trained[work.job.key], work.epoch)
            goes_on = self._tuner.tell(work.job, work.epoch, float(work.losses[-1][-1]))
            if goes_on and work.epoch < work.job.target:
                self._await(work)
            else:
                self._epochs += work.epoch - work.start
                heapq.heappush(self._free, work.worker)
                self._leave(work)
        self._assign()

    def _assign(self) -> None:
        repeats = 0
        while self._free:
            job = self._tuner.ask()
            if job is None:
                return
            reached = self._trained.setdefault(job.key, 0)
            if reached < job.target:
                self._asked += 1
                worker = heapq.heappop(self._free)
                self._await(_Work(job, self._asked, worker, self._now, reached, reached))
                continue
            repeats += 1
            if repeats > MOST_REPEATS:
                raise RuntimeError("the tuner asks for nothing but what is trained already")
            known = self._task.curve(job.parameters, job.target)
            self._tuner.tell(job, job.target, float(known.values[job.target - 1]))

    def _await(self, work: _Work) -> None:
        heapq.heappush(self._events, (work.train(self._task, self._now), work.number, work))

    def _leave(self, work: _Work) -> None:
        """Count what was done until now."""
        self._busy_s += self._now - work.began
        for times, losses in zip(work.times, work.losses, strict=True):
            done = int(np.searchsorted(times, self._now, side="right"))
            self._pieces.append((times[:done], losses[:done]))
