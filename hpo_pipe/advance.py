"""Whether a search still gets anywhere: what ends a study by lack of progress.

A *result* is a piece of training that ended: with a value, in failure, or because its trial was stopped for good; then
its last value counts. Out of bounds it has no value. It *improves* if its loss is less than all before it; with several
objectives, if no result before it is at least as good in all of them. Results of one log entry count as simultaneous:
none of them came after an improvement among them.

:meth:`Advance.idle` is SageMaker's MaxNumberOfTrainingJobsNotImproving, and :meth:`Advance.converged` its
CompleteOnConvergence, whose rule Amazon does not publish ("a lack of significant improvement"); ours is given there.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from hpo_pipe.following import following
from hpo_pipe.outcomes import Outcome, outcome, until
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import MAX_RESOURCE
from storage_schema.trial_state import SpecState, TrialState

LEAST = 20
"""Results with a value, before a search can have converged."""
WINDOW, SHARE = 10, 4
"""The newest results that must not have improved: so many, and one in so many of all."""
FRONT_WINDOW, FRONT_SHARE = 25, 2
"""The same with several objectives."""
_TAIL = 50


@dataclass(frozen=True, slots=True)
class Result:
    """A piece of training that ended."""

    entry: int
    """The log entry that told of it."""
    trial: int
    outcome: Outcome

    @property
    def counts(self) -> bool:
        """Whether it has a value within bounds."""
        return not self.outcome.failed and self.outcome.feasible


class Advance:
    """Results in the order of the log, and what they improved. Kept as :mod:`hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self._several = len(view.study.objectives) > 1
        self._of: dict[int, tuple[Result, ...]] = {}
        self._begin()

    def _begin(self) -> None:
        self._newest = -1
        self._since: set[int] = set()
        self._losses: list[float] = []  # of the first objective, sorted
        self._best: list[float] = []  # after each result with a value
        self._front: list[tuple[float, ...]] = []
        self._entered = 0  # results with a value when the front last changed

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: O(log n) a result, with several objectives O(front)."""
        trials, fresh, again = view.history.trials, list[Result](), False
        for number in changed:
            before = self._of.pop(number, ())
            now = tuple(_results(view.history, trials[number])) if number < len(trials) else ()
            if now:
                self._of[number] = now
            again |= now[: len(before)] != before
            fresh += now[len(before) :]
        if again or any(result.entry <= self._newest for result in fresh):
            self._begin()
            fresh = [result for results in self._of.values() for result in results]
        fresh.sort(key=attrgetter("entry", "trial"))
        for entry, together in groupby(fresh, attrgetter("entry")):
            self._newest = entry
            self._take(list(together))

    def idle(self) -> int:
        """Return how many trials came back, once or more, since a result last improved."""
        return len(self._since)

    def converged(self, share: float) -> str:
        """Return why the search has converged, or an empty string.

        With one objective, and n results with a value, 20 or more, when both are at most `share` of their
        interquartile range: by how much the newest max(10, n / 4) improved the best, and by how much worse than the
        best the best of a random half of them is to be expected. The second is small only where several of
        the best results are as good as each other, so that luck alone does not end a search. With several
        objectives, when none of the newest max(25, n / 2) results has changed the front.
        """
        n = len(self._best)
        if n < LEAST:
            return ""
        if self._several:
            window = max(FRONT_WINDOW, -(-n // FRONT_SHARE))
            quiet = n - self._entered
            return f"none of the newest {quiet} results has changed the front" if quiet >= window else ""
        window = max(WINDOW, -(-n // SHARE))
        width = self._losses[3 * n // 4] - self._losses[n // 4]
        gained = self._best[n - window - 1] - self._best[-1]
        best = self._losses[0]
        tail = sum(0.5 ** (k + 1) * (loss - best) for k, loss in enumerate(self._losses[:_TAIL]))
        if max(gained, tail) > share * width:
            return ""
        return (
            f"the newest {window} results improved the best by {gained:.3g}, and the best of any half of all is "
            f"{tail:.3g} worse; the interquartile range is {width:.3g}"
        )

    def _take(self, results: list[Result]) -> None:
        improved = False
        for result in results:
            if not result.counts:
                continue
            improved |= self._improves(result.outcome)
            insort(self._losses, result.outcome.loss)
            self._best.append(self._losses[0])
        if improved:
            self._since.clear()
            self._entered = len(self._best)
        else:
            self._since.update(result.trial for result in results)

    def _improves(self, found: Outcome) -> bool:
        if not self._several:
            return not self._losses or found.loss < self._losses[0]
        new = found.losses
        if any(all(a <= b for a, b in zip(old, new, strict=True)) for old in self._front):
            return False
        self._front = [old for old in self._front if not all(b <= a for a, b in zip(old, new, strict=True))]
        self._front.append(new)
        return True


def _results(history: History, trial: TrialState) -> Iterator[Result]:
    for spec in trial.specs:
        if spec.settled is None or (spec.settled.outcome == "stop" and not trial.stopped):
            continue
        yield Result(spec.settled_at, trial.number, _outcome(history, spec))


def _outcome(history: History, spec: SpecState) -> Outcome:
    settled = spec.settled
    assert settled is not None
    if settled.outcome == "fail":
        return outcome(history.study, lambda name: None)
    top = spec.issue.to if history.study.resource else MAX_RESOURCE
    return outcome(history.study, lambda name: until(spec.curve(name), top))


def idle(history: History) -> int:
    """Return how many trials came back since a result last improved; 0 where no limit asks for it."""
    return 0 if history.limits.not_improving is None else following(View.of(history), Advance).idle()


def stalled(view: View) -> str:
    """Return why the study must end for lack of progress, or an empty string."""
    limits = view.history.limits
    if limits.not_improving is None and limits.convergence is None:
        return ""
    advance, names = following(view, Advance), " and ".join(m.name for m in view.study.objectives)
    if limits.not_improving is not None and advance.idle() >= limits.not_improving:
        return f"{advance.idle()} trials came back without improving {names}: the limit is {limits.not_improving}"
    if limits.convergence is not None and (why := advance.converged(limits.convergence)):
        return f"the search for {names} has converged: {why}"
    return ""
