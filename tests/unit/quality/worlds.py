"""Small tasks, and hpo-pipe's own decisions as a tuner that is asked and told."""

from __future__ import annotations

import heapq
import math

import numpy as np

from hpo_pipe.decide import decide
from hpo_pipe.simulate.training import Training, stopped
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry, Facts, Progress, SettledSpec, StopTrial, Study
from tests.benchmarks.quality.asked import Job
from tests.benchmarks.quality.tasks import EPOCHS, Floats, Task

SPACE = (
    {"name": "x", "type": "float", "min": 0.0, "max": 1.0},
    {"name": "width", "type": "int", "min": 1, "max": 9},
)


def small_task(even: bool) -> Task:
    """Return a task of falling curves that cross; `even`: every epoch takes a second, so that much happens at once."""

    def source(x: Floats, epochs: int) -> tuple[Floats, Floats]:
        epoch = np.arange(1.0, epochs + 1)
        place, width = x[:, :1], x[:, 1:]
        losses = (place - 0.3) ** 2 + (0.2 + place) * np.exp(-epoch * width / 20)
        step = np.ones_like(width) if even else 0.1 * width + place / math.pi
        return losses, epoch * step

    return Task("small", SPACE, source, best=0.0, median=0.25, median_s=EPOCHS * (1.0 if even else 0.66))


class Decided:
    """hpo-pipe's decide() behind ask and tell: what `SimulatedStudy` does with it, in the peers' simulator."""

    def __init__(self, study: Study, task: Task, workers: int) -> None:
        self._history = History(study)
        self._view = View.of(self._history)
        self._task = task
        self._workers = workers
        self._waiting: list[tuple[int, SpecId]] = []
        self._settled: list[SettledSpec] | None = []
        self._levels = tuple(rung.level for rung in self._history.rungs)

    def ask(self) -> Job | None:
        if self._settled is not None:  # all that happened at this moment is known
            settled = tuple(sorted(self._settled, key=lambda fact: fact.spec))
            self._settled = None
            self._decide(settled, ())
        if not self._waiting:
            return None
        issue = self._history.specs[(spec := heapq.heappop(self._waiting)[1])].issue
        stops = tuple(self._history.study.resource.milestones)
        return Job(issue.parameters, issue.trial, issue.to, stops, spec)

    def tell(self, job: Job, epoch: int, loss: float) -> bool:
        state = self._history.specs[job.payload]
        if epoch < job.target:
            news = Progress(spec=state.id, attempt=1, curves={"loss": ((epoch, loss),)})
            self._decide((), (news,))
            return not self._history.trials[state.issue.trial].stopped
        curve = self._task.curve(job.parameters, job.target)
        training = Training(self._history.study, state, 0, 0.0, curve, 1.0, 0.0)
        self._settled = [*(self._settled or []), training.settled(self._history.study, self._levels)]
        return False

    def _decide(self, settled: tuple[SettledSpec, ...], progress: tuple[Progress, ...]) -> None:
        history = self._history
        while True:
            facts = Facts(now=0.0, demand=self._workers, settled=settled, progress=progress)
            decisions = decide(self._view, facts)
            if not settled and not progress and not decisions:
                return
            entry = Entry(
                entry=history.head + 1, token="0", author="coordinator", facts=facts, decisions=decisions
            )
            history.fold(entry)
            for spec, issue in entry.issues():
                heapq.heappush(self._waiting, (-issue.rung, spec))
            trials = [history.trials[d.trial] for d in decisions if isinstance(d, StopTrial)]
            settled, progress = tuple(stopped(trial.last, True) for trial in trials if trial.open), ()
            if not settled:
                return
