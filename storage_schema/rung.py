"""One rung: the trials that were measured at a resource level, ranked.

Lists are kept sorted by bisection, so that adding, ranking and finding the best waiting member cost no more
than a binary search and a short memory move, however long the study is.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

Member = tuple[float, int]
"""(loss, trial): ties are broken by the trial's number, never by arrival."""


class Rung:
    """Members of a rung. Losses are minimised; a failed or non-finite one is +inf and counts as a member."""

    __slots__ = ("_loss", "level", "promoted", "ranking", "waiting")

    def __init__(self, level: int) -> None:
        self.level = level
        self.ranking: list[Member] = []
        """All members, best first."""
        self.waiting: list[Member] = []
        """Members with a finite loss that were not promoted, best first."""
        self.promoted: set[int] = set()
        self._loss: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self.ranking)

    def __contains__(self, trial: int) -> bool:
        return trial in self._loss

    def loss(self, trial: int) -> float:
        """Return a member's loss."""
        return self._loss[trial]

    def rank(self, trial: int) -> int:
        """Return how many members rank before `trial` (0: the best)."""
        return bisect_left(self.ranking, (self._loss[trial], trial))

    def waits(self, trial: int) -> bool:
        """Tell whether a trial is a member that may be promoted."""
        member = (self._loss.get(trial, math.inf), trial)
        place = bisect_left(self.waiting, member)
        return place < len(self.waiting) and self.waiting[place] == member

    def best_waiting(self, share: int) -> int | None:
        """Return the best member that waits, if it is among the best `share` of all."""
        if not self.waiting or self.rank(self.waiting[0][1]) >= share:
            return None
        return self.waiting[0][1]

    def add(self, trial: int, loss: float) -> None:
        """Enter a member."""
        self._loss[trial] = loss
        insort(self.ranking, (loss, trial))
        if math.isfinite(loss) and trial not in self.promoted:
            insort(self.waiting, (loss, trial))

    def remove(self, trial: int) -> None:
        """Take a member out again (a failed trial that is retried)."""
        member = (self._loss.pop(trial), trial)
        del self.ranking[bisect_left(self.ranking, member)]
        self._unwait(member)

    def promote(self, trial: int) -> None:
        """Mark a trial as promoted from here."""
        self.promoted.add(trial)
        if trial in self._loss:
            self._unwait((self._loss[trial], trial))

    def unpromote(self, trial: int) -> None:
        """Undo :meth:`promote`."""
        self.promoted.discard(trial)
        loss = self._loss.get(trial, math.inf)
        if math.isfinite(loss):
            insort(self.waiting, (loss, trial))

    def drop(self, trial: int) -> None:
        """Let a member wait no longer (its trial was stopped); it still counts."""
        if trial in self._loss:
            self._unwait((self._loss[trial], trial))

    def restore(self, trial: int) -> None:
        """Undo :meth:`drop`."""
        loss = self._loss.get(trial, math.inf)
        if math.isfinite(loss) and trial not in self.promoted:
            insort(self.waiting, (loss, trial))

    def _unwait(self, member: Member) -> None:
        place = bisect_left(self.waiting, member)
        if place < len(self.waiting) and self.waiting[place] == member:
            del self.waiting[place]
