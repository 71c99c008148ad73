"""Workers that train curves instead of models, and one coordinator that decides as the real one does.

A discrete-event simulation: between two events nothing happens, so the clock jumps. Every result goes through the very
:func:`~hpo_pipe.decide.decide` that a coordinator calls, with the same facts; what is simulated is only the training.
Deciding takes no virtual time, unless a latency is asked for. A promoted trial goes on from its checkpoint; one that is
stopped frees its worker at once. A clone goes on, from where its parent's checkpoint ends, along the curve of its own
configuration: what changing a configuration in mid-training does, no curve of a configuration tells. So population
based training is shown here as a search, and not what a schedule is worth.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpo_pipe.coordinator.backlog import Backlog
from hpo_pipe.decide import MAX_DECISIONS, decide
from hpo_pipe.normal import quantile
from hpo_pipe.simulate.curves import Curves
from hpo_pipe.simulate.run import Run
from hpo_pipe.simulate.training import Training, stopped
from hpo_pipe.view import View
from storage_schema.errors import ProtocolViolation
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Decision, Entry, Facts, Progress, SettledSpec, StopTrial, Study
from storage_schema.trial_state import SpecState

_NOBODY = "0"


@dataclass(frozen=True, slots=True)
class _End:
    """A training came to its end."""

    spec: SpecId


@dataclass(frozen=True, slots=True)
class _Milestone:
    """A training passed a milestone."""

    spec: SpecId
    level: int


_Known = SettledSpec | Progress
"""A fact reached the coordinator."""


class SimulatedStudy:
    """One study in a world of curves.

    Args:
        study: as a coordinator would read it.
        curves: what training gives.
        workers: one slot each.
        startup_s: what each spec takes before its first unit.
        spread: of the workers' speeds: the standard deviation of the logarithm of the time that one takes.
        tick_s: from a result to the decision on it. With a latency specs wait for workers, as many as a coordinator
            would let wait.
    """

    def __init__(
        self,
        study: Study,
        curves: Curves,
        workers: int,
        *,
        startup_s: float = 0.0,
        spread: float = 0.0,
        tick_s: float = 0.0,
    ) -> None:
        self.view = View.of(History(study))
        self._curves = curves
        self._startup_s = startup_s
        self._tick_s = tick_s
        self._slowness = np.exp(spread * quantile(self.view.rng("workers", workers).random(workers))).tolist()
        self._events: list[tuple[float, int, _End | _Milestone | _Known]] = []
        self._numbered = 0
        self._now = 0.0
        self._free = list(range(workers))
        self._waiting: list[tuple[int, SpecId, SpecState]] = []
        self._running: dict[SpecId, Training] = {}
        self._untold: dict[SpecId, SettledSpec] = {}
        self._under_way = 0  # units of all that runs
        self._backlog = Backlog()
        self._levels = tuple(rung.level for rung in self.view.history.rungs)
        self._sign = self.view.history.loss(1.0)
        self.run = Run(self.view.history, workers)

    def until(
        self,
        enough: Callable[[Run], bool] = lambda run: False,
        *,
        units: float = math.inf,
        seconds: float = math.inf,
    ) -> Run:
        """Run until the study ends, or something is enough; call it once.

        Args:
            enough: asked after every event, of the units of work that has ended; then all is broken off, and the units
                of what was under way count as well.
            units: trained, those of trainings under way included.
            seconds: of virtual time.
        """
        self._decide((), ())
        while self._events and not self.view.history.closed:
            if enough(self.run):
                self._cut(self._now)
                return self.run
            if self._events[0][0] > seconds or self._trained(units):
                self._cut(min(seconds, self._events[0][0]) if self._events[0][0] > seconds else self._now)
                return self.run
            self._step()
        if not self._events and not self.view.history.closed:
            raise ProtocolViolation("all simulated workers are idle, and the study has not ended")
        self.run.busy_s += sum(self._now - training.began for training in self._running.values())
        return self.run

    def _step(self) -> None:
        """Take in all that happens next, at one time."""
        self._now = self._events[0][0]
        self.run.ended_at = self._now
        settled: list[SettledSpec] = []
        progress: list[Progress] = []
        while self._events and self._events[0][0] == self._now:
            match heapq.heappop(self._events)[2]:
                case _End(spec):
                    self._end(spec, settled)
                case _Milestone(spec, level):
                    self._pass(spec, level, progress)
                case SettledSpec() as fact if self._untold.pop(fact.spec, None):
                    settled.append(fact)
                case Progress() as fact:
                    progress.append(fact)
        settled.sort(key=lambda fact: fact.spec)
        over = {fact.spec for fact in settled}
        news = [p for p in progress if p.spec not in over and p.spec in self.view.history.open]
        if settled or news:
            self._decide(tuple(settled), tuple(sorted(news, key=lambda p: p.spec)))
        else:
            self._claim()

    def _end(self, spec: SpecId, settled: list[SettledSpec]) -> None:
        if spec not in self._running:  # stopped before
            return
        training = self._leave(spec)
        fact = training.settled(self.view.study, self._levels)
        if self._tick_s:
            self._untold[spec] = fact
            self._at(self._now + self._tick_s, fact)
        else:
            settled.append(fact)

    def _pass(self, spec: SpecId, level: int, progress: list[Progress]) -> None:
        training = self._running.get(spec)
        if training is None:
            return
        fact = training.progress(self.view.study, level)
        if self._tick_s:
            self._at(self._now + self._tick_s, fact)
        else:
            progress.append(fact)
        self._await(training)

    def _leave(self, spec: SpecId) -> Training:
        """Free a worker, and count what it did."""
        training = self._running.pop(spec)
        piece = training.piece(self._sign, self._now)
        heapq.heappush(self._free, training.worker)
        self.run.pieces.append(piece)
        self.run.units += len(piece.times)
        self.run.busy_s += piece.ended - piece.began
        self._under_way -= len(training.times)
        return training

    def _decide(self, settled: tuple[SettledSpec, ...], progress: tuple[Progress, ...]) -> None:
        """Decide and write until the log says what a coordinator would say; then let free workers claim."""
        history = self.view.history
        if self._tick_s:
            self._backlog.see(len(settled), len(self._waiting))
        while True:
            demand = self.run.workers + (self._backlog.size if self._tick_s else 0)
            facts = Facts(now=self._now, demand=demand, settled=settled, progress=progress)
            decisions = decide(self.view, facts)
            if not settled and not progress and not decisions:
                break
            entry = Entry(
                entry=history.head + 1, token=_NOBODY, author="coordinator", facts=facts, decisions=decisions
            )
            history.fold(entry)
            self.run.log.append(entry)
            issues = entry.issues()
            for spec, issue in issues:
                heapq.heappush(self._waiting, (-issue.rung, spec, history.specs[spec]))
            settled, progress = self._stops(decisions), ()
            if not settled and len(issues) < MAX_DECISIONS:
                break
        self._claim()

    def _stops(self, decisions: tuple[Decision, ...]) -> tuple[SettledSpec, ...]:
        """End what the newest decisions stop, as a coordinator does in the same tick."""
        history = self.view.history
        if history.finished is not None:
            return tuple(self._stop(history.open[spec]) for spec in sorted(history.open))
        trials = [history.trials[d.trial] for d in decisions if isinstance(d, StopTrial)]
        last = sorted((trial.last for trial in trials if trial.open), key=lambda spec: spec.id)
        return tuple(self._stop(spec) for spec in last if spec.id not in self._untold)

    def _stop(self, spec: SpecState) -> SettledSpec:
        if (done := self._untold.pop(spec.id, None)) is not None:  # its own last link was first
            return done
        running = spec.id in self._running
        if running:
            self._leave(spec.id)
        return stopped(spec, running)

    def _claim(self) -> None:
        """Give the waiting specs of the highest rungs to the free workers, as a board would."""
        history = self.view.history
        while self._waiting and self._free:
            spec = heapq.heappop(self._waiting)[2]
            if spec.settled is None and not history.trials[spec.issue.trial].stopped:
                self._start(spec, heapq.heappop(self._free))

    def _start(self, spec: SpecState, worker: int) -> None:
        issue = spec.issue
        curve = self._curves.curve(issue.parameters, issue.to)
        slowness, startup_s = self._slowness[worker], self._startup_s
        training = Training(self.view.study, spec, worker, self._now, curve, slowness, startup_s)
        self._running[spec.id] = training
        self._under_way += len(training.times)
        self._await(training)

    def _await(self, training: Training) -> None:
        """Note what comes next of a training."""
        milestone = training.next_milestone()
        if milestone is None:
            self._at(training.ended, _End(training.spec.id))
        else:
            self._at(milestone[0], _Milestone(training.spec.id, milestone[1]))

    def _at(self, time: float, event: _End | _Milestone | _Known) -> None:
        self._numbered += 1
        heapq.heappush(self._events, (time, self._numbered, event))

    def _trained(self, units: float) -> bool:
        if self.run.units + self._under_way < units:
            return False
        running = sum(training.finished(self._now) for training in self._running.values())
        return self.run.units + running >= units

    def _cut(self, now: float) -> None:
        """Break everything off, and count what was done until now."""
        self._now = self.run.ended_at = now
        for spec in list(self._running):
            self._leave(spec)
