"""What became of the time of every attempt. Pure.

*Useful*: training whose result, or whose checkpoint that a later attempt went on from, is on record. *Repeated*:
what attempts trained beyond that before they were fenced, given back or failed, and what others trained again below
their piece for want of a checkpoint; by units, each as long as the others of its attempt. *Lost*: of trials whose
last piece ended with no result. *Open*: of pieces that run or wait to be gone on with. The four are all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo_pipe.report.attempts import Attempt
from storage_schema.history import History
from storage_schema.records import LinkKind
from storage_schema.trial_state import TrialState

FATES = ("useful", "repeated", "lost", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One attempt's seconds by what became of them; their sum is the attempt's time."""

    attempt: Attempt
    useful: float = 0.0
    repeated: float = 0.0
    lost: float = 0.0
    open: float = 0.0


@dataclass(slots=True)
class _Stretch:
    """The units of an attempt that may count, and do once something behind them is on record."""

    attempt: Attempt
    low: int
    high: int

    def share(self, fate: str) -> Share:
        """Return the attempt's share where these units have this fate, and all others are repeated."""
        attempt = self.attempt
        units = attempt.reached - attempt.start
        part = max(0, self.high - self.low) / units if units > 0 else float(self.high >= self.low)
        seconds = attempt.seconds * min(1.0, part)
        return Share(attempt=attempt, repeated=attempt.seconds - seconds, **{fate: seconds})


def trial_shares(history: History, trial: TrialState, attempts: Sequence[Attempt]) -> list[Share]:
    """Return what became of each attempt of a trial; `attempts` in the order of its specs and their chains."""
    floors = {spec.id: spec.issue.start for spec in trial.specs}
    shares: list[Share] = []
    pending: list[_Stretch] = []
    for place, attempt in enumerate(attempts):
        low = max(attempt.start, floors[attempt.spec])
        stretch = _Stretch(attempt, low, attempt.reached)
        following = attempts[place + 1] if place + 1 < len(attempts) else None
        if attempt.end is LinkKind.DONE:
            stretch.high = max(low, attempt.reached)
            shares += [waiting.share("useful") for waiting in [*pending, stretch]]
            pending = []
            continue
        pending.append(stretch)
        if following is not None:
            _cut(pending, following.start)
    if pending:
        pending[-1].high = max(pending[-1].high, pending[-1].low)
    fate = _fate(history, trial)
    return shares + [stretch.share(fate) for stretch in pending]


def _cut(pending: list[_Stretch], start: int) -> None:
    """Take what lies behind the next attempt's start out of all that may still count."""
    for stretch in pending:
        empty = stretch.attempt.reached <= stretch.attempt.start
        stretch.high = stretch.low - 1 if empty else min(stretch.high, start)


def _fate(history: History, trial: TrialState) -> str:
    """Return what became of training behind a trial's last result."""
    settled = trial.last.settled
    if settled is None:
        return "open"
    told = bool(trial.last.curve(history.study.objective.name))
    if settled.outcome == "stop" and trial.stopped and told:
        return "useful"  # what it reported is what it was stopped for
    return "lost"
