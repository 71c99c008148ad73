"""Brackets that are filled one after another: who is in which, and how far each bracket is.

A bracket is one run of successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): so many trials start at its
first rung, and once all members of a rung are measured the best floor(n / eta) go on to the next.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from hpo_pipe.ranking import ranked_in_bracket
from hpo_pipe.view import View
from storage_schema.trial_state import TrialState


@dataclass(frozen=True, slots=True)
class Shape:
    """A bracket as it is planned."""

    first: int
    """The rung at which its trials start."""
    size: int
    """How many of them."""
    eta: int

    def kept(self, stage: int) -> int:
        """Return how many members of stage 0, 1, ... go on: floor(n_i / eta) with n_i = floor(n / eta**i)."""
        kept: int = self.size // self.eta**stage // self.eta
        return kept


class Members:
    """The trials of every bracket; see :mod:`hpo_pipe.following`."""

    def __init__(self, view: View) -> None:
        self._brackets: list[int] = []  # of each trial
        self._members: dict[int, list[int]] = {}
        self._over: dict[int, bool] = {}
        self._resting: dict[int, int] = {}
        self._first_live = 0

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed."""
        trials = view.history.trials
        while len(self._brackets) > len(trials):
            self._leave(len(self._brackets) - 1)
        for number in changed:
            if number >= len(trials):
                continue
            if number < len(self._brackets) and self._brackets[number] != trials[number].bracket:
                while len(self._brackets) > number:
                    self._leave(len(self._brackets) - 1)
            while len(self._brackets) <= number:
                self._enter(trials[len(self._brackets)])
            self._forget(trials[number].bracket)

    def of(self, bracket: int) -> list[int]:
        """Return the members of a bracket, ascending."""
        return self._members.get(bracket, [])

    def live(self) -> Iterable[int]:
        """Yield the brackets that are not known to be over, ascending, and then the one to be begun."""
        newest = max(self._members, default=-1)
        while self._over.get(self._first_live):
            self._first_live += 1
        for bracket in range(self._first_live, newest + 2):
            if not self._over.get(bracket):
                yield bracket

    def end(self, bracket: int) -> None:
        """Remember that nothing is left to do in a bracket, until one of its members changes."""
        self._over[bracket] = True

    def resting(self, bracket: int, size: int) -> bool:
        """Tell whether a bracket of `size` is known to have nothing to do until one of its members changes."""
        return self._resting.get(bracket) == size

    def rest(self, bracket: int, size: int) -> None:
        """Remember that a bracket of `size` has nothing to do until one of its members changes."""
        self._resting[bracket] = size

    def _enter(self, trial: TrialState) -> None:
        self._brackets.append(trial.bracket)
        insort(self._members.setdefault(trial.bracket, []), trial.number)

    def _leave(self, number: int) -> None:
        bracket = self._brackets.pop()
        members = self._members[bracket]
        del members[bisect_left(members, number)]
        if not members:
            del self._members[bracket]
        self._forget(bracket)

    def _forget(self, bracket: int) -> None:
        self._over.pop(bracket, None)
        self._resting.pop(bracket, None)
        self._first_live = min(self._first_live, bracket)


@dataclass(frozen=True, slots=True)
class Stage:
    """What one rung of a bracket comes to."""

    rung: int
    members: tuple[tuple[float, int], ...]
    """(loss, trial) of all that were issued to it, best first; +inf for what failed, or was stopped unmeasured."""
    measured: int
    """How many of them have ended."""
    kept: int

    @property
    def complete(self) -> bool:
        """Whether all that were issued to it have ended."""
        return self.measured == len(self.members)

    def survivors(self) -> tuple[tuple[float, int], ...]:
        """Return the best `kept` members; a failed one's place is lost, not given to another."""
        return tuple(member for member in self.members[: self.kept] if math.isfinite(member[0]))


def stages(view: View, shape: Shape, members: Iterable[int]) -> Iterable[Stage]:
    """Yield the stages of a bracket from its first rung on, up to the one that is not complete."""
    inside = [view.history.trials[number] for number in members]
    for place, rung in enumerate(range(shape.first, len(view.history.rungs))):
        table = view.history.rungs[rung]
        inside = [trial for trial in inside if trial.rung >= rung]
        ranked = ranked_in_bracket(view, rung, [trial.number for trial in inside])
        ended = sum(t.number in table or _lost(view, t, rung) for t in inside)
        stage = Stage(rung, tuple(ranked), ended, shape.kept(place))
        yield stage
        if not stage.complete:
            return


def _lost(view: View, trial: TrialState, rung: int) -> bool:
    """Tell whether a trial will never be measured at a rung: it failed unmeasured, or was stopped."""
    gone = trial.failed or bool(trial.stopped)
    return gone and not trial.open and trial.rung == rung and trial.number not in view.history.reissue
