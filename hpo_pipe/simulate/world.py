"""Workers that train curves instead of models, and one coordinator that decides as the real one does.

A discrete-event simulation: between two events nothing happens, so the clock jumps. Every result goes through the very
:func:`~hpo_pipe.decide.decide` that a coordinator calls, with the same facts; what is simulated is only the training.
Deciding takes no virtual time. A promoted trial goes on from its checkpoint.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hpo_pipe.decide import decide
from hpo_pipe.simulate.curves import Curve, Curves, Floats
from hpo_pipe.view import View
from storage_schema.errors import ProtocolViolation
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.metric_log import thinned
from storage_schema.records import CheckpointRef, Entry, Facts, SettledSpec, Study
from storage_schema.trial_state import SpecState

_SHA256 = "0" * 64
_NOBODY = "0"


@dataclass(slots=True)
class Run:
    """What a simulated search did."""

    history: History
    workers: int
    ended_at: float = 0.0
    """Virtual seconds."""
    busy_s: float = 0.0
    """Of all workers together."""
    units: int = 0
    """Units trained."""
    times: list[Floats] = field(default_factory=list)
    """When each unit was finished, spec by spec in the order of their ends."""
    losses: list[Floats] = field(default_factory=list)
    """What it reported, as losses."""

    @property
    def idle_share(self) -> float:
        """The share of the workers' time in which they waited for work."""
        total = self.ended_at * self.workers
        return 1.0 - self.busy_s / total if total else 0.0

    def incumbent(self) -> tuple[Floats, Floats]:
        """Return the finishing time of every unit, rising, and the best loss until then; both shape (units,)."""
        times, losses = np.concatenate(self.times), np.concatenate(self.losses)
        order = np.argsort(times, kind="stable")
        return times[order], np.fmin.accumulate(np.where(np.isfinite(losses[order]), losses[order], np.inf))


@dataclass(order=True, slots=True)
class _End:
    """A spec's end, in the order of time, then of start."""

    at: float
    number: int
    began: float = field(compare=False)
    spec: SpecId = field(compare=False)
    settled: SettledSpec = field(compare=False)
    times: Floats = field(compare=False)
    values: Floats = field(compare=False)


class SimulatedStudy:
    """One study in a world of curves.

    Args:
        study: as a coordinator would read it.
        curves: what training gives.
        workers: one slot each.
    """

    def __init__(self, study: Study, curves: Curves, workers: int) -> None:
        self.view = View.of(History(study))
        self._curves = curves
        self._heap: list[_End] = []
        self._waiting: list[SpecState] = []
        self._claimed: set[SpecId] = set()
        self._started = 0
        self._now = 0.0
        self._levels = tuple(rung.level for rung in self.view.history.rungs)
        self.run = Run(self.view.history, workers)

    def until(self, enough: Callable[[Run], bool] = lambda run: False) -> Run:
        """Run to the study's end, or until `enough` says so; it is asked after every result."""
        self._decide(())
        while self._heap and not enough(self.run):
            ended = [heapq.heappop(self._heap)]
            while self._heap and self._heap[0].at == ended[0].at:
                ended.append(heapq.heappop(self._heap))
            self._now = ended[0].at
            for end in ended:
                self._take(end)
            self._decide(tuple(sorted((end.settled for end in ended), key=lambda fact: fact.spec)))
        if not self._heap and not self.view.history.closed:
            raise ProtocolViolation("all simulated workers are idle, and the study has not ended")
        self._stop_clock()
        return self.run

    def _stop_clock(self) -> None:
        """Count what the specs that are still running have taken until now."""
        self.run.busy_s += sum(self._now - end.began for end in self._heap)

    def _take(self, end: _End) -> None:
        self._claimed.discard(end.spec)
        run = self.run
        run.ended_at = end.at
        run.busy_s += end.at - end.began
        run.units += len(end.values)
        run.times.append(end.times)
        loss = self.view.history.loss
        run.losses.append(np.array([loss(value) for value in end.values.tolist()]))

    def _decide(self, settled: tuple[SettledSpec, ...]) -> None:
        history = self.view.history
        while True:
            facts = Facts(now=self._now, demand=self.run.workers, settled=settled)
            decisions = decide(self.view, facts)
            if not settled and not decisions:
                break
            entry = Entry(
                entry=history.head + 1, token=_NOBODY, author="coordinator", facts=facts, decisions=decisions
            )
            history.fold(entry)
            self._waiting += [history.specs[spec] for spec, _ in entry.issues()]
            settled = ()
        if history.finished is not None and history.open:
            self._break_off()
        else:
            self._claim()

    def _break_off(self) -> None:
        """Stop what is open in a study that has ended, as a coordinator would."""
        self._stop_clock()
        self._heap.clear()
        self._claimed.clear()
        self._waiting.clear()
        self._decide(tuple(SettledSpec(spec=spec, link=2, outcome="stop") for spec in self.view.history.open))

    def _claim(self) -> None:
        """Give the waiting specs of the highest rungs to the free workers, as a board would."""
        self._waiting.sort(key=lambda spec: (-spec.issue.rung, spec.id))
        free = self.run.workers - len(self._claimed)
        for spec in self._waiting[:free]:
            self._start(spec)
        del self._waiting[:free]

    def _start(self, spec: SpecState) -> None:
        issue = spec.issue
        curve = self._curves.curve(issue.parameters, issue.to)
        values = curve.values[issue.start : issue.to]
        before = float(curve.seconds[issue.start - 1]) if issue.start else 0.0
        times = self._now + curve.seconds[issue.start : issue.to] - before
        self._claimed.add(spec.id)
        self._started += 1
        end = _End(
            float(times[-1]), self._started, self._now, spec.id, self._settled(spec, curve), times, values
        )
        heapq.heappush(self._heap, end)

    def _settled(self, spec: SpecState, curve: Curve) -> SettledSpec:
        issue, study = spec.issue, self.view.study
        units = range(issue.start + 1, issue.to + 1)
        points = tuple(
            (unit, value if math.isfinite(value) else None)
            for unit, value in zip(units, curve.values[issue.start : issue.to].tolist(), strict=True)
        )
        seconds = float(curve.seconds[issue.to - 1]) - (
            float(curve.seconds[issue.start - 1]) if issue.start else 0.0
        )
        return SettledSpec(
            spec=spec.id,
            link=2,
            outcome="done",
            resource=issue.to,
            curves={study.objective.name: thinned(points, self._levels)},
            checkpoint=CheckpointRef(key=f"checkpoints/{spec.id}", sha256=_SHA256, resource=issue.to),
            wall_s=round(seconds, 3),
            gpu_s=round(seconds, 3),
            attempts=1,
        )
