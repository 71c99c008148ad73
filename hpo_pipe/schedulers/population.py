"""A population: its members, who each are a line of trials, and how they rank.

Member m is what the trials of bracket m are, one after the other: each but the first is a clone that took the place of
the one before it. Generation g is rung g: a member is ready there once the spec towards it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile

from hpo_pipe.following import following
from hpo_pipe.order import Order, figures
from hpo_pipe.outcomes import at_rung, outcome
from hpo_pipe.schedulers.brackets import Members
from hpo_pipe.view import View
from storage_schema.records import CheckpointRef
from storage_schema.trial_state import TrialState


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's newest result that is compared."""

    trial: int
    rung: int


class Ranking:
    """Members of a population, best first. One trial stands for each."""

    def __init__(self, view: View, standings: list[Standing]) -> None:
        self._view = view
        self._order = Order(view.study)
        self._rungs = {standing.trial: standing.rung for standing in standings}
        history = view.history
        for standing in standings:
            found = at_rung(history, history.trials[standing.trial], standing.rung)
            self._order.put(standing.trial, found or outcome(view.study, lambda name: None))
        self.best_first = list(self._order.best_first())

    def __len__(self) -> int:
        return len(self.best_first)

    def place(self, trial: int) -> int:
        """Return how many rank before a trial."""
        return self.best_first.index(trial)

    def rung(self, trial: int) -> int:
        """Return the rung at which it is compared."""
        return self._rungs[trial]

    def failed(self, trial: int) -> bool:
        """Tell whether it has no finite result there."""
        return self._order[trial].failed

    def figures(self, trial: int) -> str:
        """Return what it came to, for people."""
        if self.failed(trial):
            return "without a result"
        return figures(self._view.study, self._order, trial)


class Population:
    """The members of a study's population as they are now. Lives as long as one move."""

    def __init__(self, view: View) -> None:
        self._history = view.history
        self._view = view
        members = following(view, Members)
        self.lines: list[list[int]] = list(takewhile(bool, (members.of(m) for m in count())))
        """The trials of each member, rising; the last one is the member now."""
        self._ended: dict[int, bool] = {}

    def __len__(self) -> int:
        return len(self.lines)

    def now(self, member: int) -> TrialState:
        """Return the trial that a member is now."""
        return self._history.trials[self.lines[member][-1]]

    def under_way(self, trial: TrialState) -> bool:
        """Tell whether a spec of a trial is open, or is to be issued again."""
        return trial.open or trial.number in self._history.reissue

    def lost(self, trial: TrialState) -> bool:
        """Tell whether a trial that is not under way can never go on."""
        return bool(trial.stopped) or trial.failed

    def ready(self) -> Iterator[int]:
        """Yield the members that wait to be decided on, from the lowest generation upwards."""
        top = len(self._history.rungs) - 1
        found = ((self.now(m), m) for m in range(len(self)))
        waiting = ((t.rung, m) for t, m in found if t.rung < top and not self.under_way(t))
        return (member for _, member in sorted(waiting))

    def complete(self, rung: int) -> bool:
        """Tell whether every member has come to a generation, or never will."""
        if rung not in self._ended:
            self._ended[rung] = all(self._has_ended(self.now(m), rung) for m in range(len(self)))
        return self._ended[rung]

    def superseded(self) -> Iterator[tuple[int, int]]:
        """Yield (trial, clone) of trials whose places were taken, and that still wait to go on."""
        for line in self.lines:
            for number in line[-2:-1]:
                trial = self._history.trials[number]
                done = trial.last.settled is not None and trial.last.settled.outcome == "done"
                if done and not trial.stopped and not self.under_way(trial):
                    yield number, line[-1]

    def of_generation(self, rung: int) -> Ranking:
        """Return all members ranked by what they came to at one generation; those that did not get there are last."""
        standings = (self._at(line, rung) or Standing(line[-1], rung) for line in self.lines)
        return Ranking(self._view, list(standings))

    def of_newest(self) -> Ranking:
        """Return all members that have a result, ranked by their newest ones, whichever generations these are of."""
        standings = (self._newest(line) for line in self.lines)
        return Ranking(self._view, [standing for standing in standings if standing])

    def source(self, ranking: Ranking, trial: int, least: int) -> CheckpointRef | None:
        """Return the checkpoint to clone a trial from; None if it is none to clone.

        It must have got to generation `least`, not to the end, and not been stopped; and a spec up to the result that
        it is ranked by must have left a checkpoint.
        """
        state, rung = self._history.trials[trial], ranking.rung(trial)
        if ranking.failed(trial) or state.stopped or not least <= rung < len(self._history.rungs) - 1:
            return None
        return state.committed(self._history.rungs[rung].level)

    def _has_ended(self, trial: TrialState, rung: int) -> bool:
        if trial.rung > rung:
            return True
        return not self.under_way(trial) and (trial.rung == rung or self.lost(trial))

    def _at(self, line: list[int], rung: int) -> Standing | None:
        trials = (self._history.trials[number] for number in reversed(line))
        there = (t.number for t in trials if t.specs[0].issue.rung <= rung <= t.rung)
        number = next(there, None)
        return None if number is None else Standing(number, rung)

    def _newest(self, line: list[int]) -> Standing | None:
        now = self._history.trials[line[-1]]
        if not self.under_way(now) and self.lost(now):
            return Standing(now.number, now.rung)
        for number in reversed(line):
            trial = self._history.trials[number]
            for rung in range(trial.rung, trial.specs[0].issue.rung - 1, -1):
                if number in self._history.rungs[rung]:
                    return Standing(number, rung)
        return None
