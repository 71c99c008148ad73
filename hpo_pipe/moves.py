"""From a scheduler's moves and a searcher's configurations to decisions, within the study's limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hpo_pipe.enqueued import whole
from hpo_pipe.schedulers import scheduler_of
from hpo_pipe.searchers import searcher_of
from hpo_pipe.transfer.first import next_first
from hpo_pipe.view import Clone, Done, Judge, Promote, Sample, Stop, Suggestion, View
from storage_schema.codec import Json
from storage_schema.errors import ProtocolViolation
from storage_schema.records import CheckpointRef, Issue, StopTrial
from storage_schema.trial_state import TrialState

ENQUEUED = "enqueued"
"""The origin of a user's configuration; the fold takes the queue's head off when it sees it."""


@dataclass(frozen=True, slots=True)
class Over:
    """No move is left: once nothing is open, the study ends for this reason."""

    reason: str


class Planner:
    """One decision's moves. Lives as long as one call of `decide`."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._scheduler = scheduler_of(view.study)
        self._searcher = searcher_of(view.study, view.space)
        self._no_samples = ""
        """Why no new trial can start any more; empty while they can."""

    def judged(self) -> Iterator[StopTrial]:
        """Yield the stops of running trials that the newest reports call for."""
        if self._view.history.news and isinstance(self._scheduler, Judge):
            for move in self._scheduler.judge(self._view):
                yield self._stop(move)

    def reissue(self, number: int) -> Issue | None:
        """Return the spec that takes up trial `number` where it was cut short, or None beyond the limits."""
        trial = self._view.history.trials[number]
        last = trial.last.issue
        start, checkpoint = self._starting_point(trial, last.to)
        if not self._affordable(last.to - start):
            return None
        done = f"from {start}" if checkpoint else "from the beginning"
        return self._issue(trial, last.to, last.rung, f"taken up again {done}")

    def next(self) -> Issue | StopTrial | Over | None:
        """Return the next decision, Over, or None while results must come in first."""
        if not self._no_samples:
            self._no_samples = self._limit_on_trials()
        while True:
            promotions_only = bool(self._no_samples)
            ask = self._scheduler.next_promotion if promotions_only else self._scheduler.next_move
            match ask(self._view):
                case Promote() as move:
                    return self._promote(move)
                case Clone() as move:
                    return self._clone(move)
                case Stop() as move:
                    return self._stop(move)
                case Done() as move:
                    return Over(move.reason)
                case Sample() as move if not promotions_only:
                    if (issue := self._sample(move)) is not None:
                        return issue
                case Sample():
                    raise ProtocolViolation("a scheduler sampled where it was asked for promotions only")
                case None:
                    return Over(self._no_samples) if promotions_only else None

    def _promote(self, move: Promote) -> Issue | Over:
        trial = self._view.history.trials[move.trial]
        level = self._view.history.rungs[move.rung].level
        start, _ = self._starting_point(trial, level)
        if not self._affordable(level - start):
            return Over(self._spent())
        return self._issue(trial, level, move.rung, move.reason)

    def _clone(self, move: Clone) -> Issue | Over:
        history = self._view.history
        if self._limit_on_trials():
            raise ProtocolViolation(f"a scheduler cloned trial {move.trial} beyond the limit on trials")
        level, checkpoint = history.rungs[move.rung].level, move.checkpoint
        if not self._affordable(level - checkpoint.resource):
            return Over(self._spent())
        return Issue(
            trial=len(history.trials),
            start=checkpoint.resource,
            to=level,
            rung=move.rung,
            bracket=move.bracket,
            parameters=move.parameters,
            origin=move.origin,
            checkpoint=checkpoint,
            reason=move.reason,
            parent=move.trial,
        )

    def _stop(self, move: Stop) -> StopTrial:
        if self._view.history.trials[move.trial].stopped:
            raise ProtocolViolation(f"a scheduler stopped trial {move.trial} twice")
        return StopTrial(trial=move.trial, reason=move.reason)

    def _sample(self, move: Sample) -> Issue | None:
        """Return a new trial's first spec, or None after noting why there can be none."""
        history = self._view.history
        level = history.rungs[move.rung].level
        if not self._affordable(level):
            self._no_samples = self._spent()
            return None
        number, view = len(history.trials), replace(self._view, rung=move.rung)
        suggestion = (
            self._enqueued(view, history.queue[0], number)
            if history.queue
            else next_first(view) or self._searcher.suggest(view, number)
        )
        if suggestion is None:
            self._no_samples = f"every configuration has been tried: {number} trials"
            return None
        return Issue(
            trial=number,
            start=0,
            to=level,
            rung=move.rung,
            bracket=move.bracket,
            parameters=suggestion.parameters,
            origin=suggestion.origin,
            checkpoint=None,
            reason=f"{suggestion.reason}; {move.reason}",
        )

    def _enqueued(self, view: View, given: Mapping[str, Json], number: int) -> Suggestion:
        """Return a user's configuration, completed by what the searcher proposes."""

        def propose() -> Mapping[str, Json] | None:
            suggestion = self._searcher.suggest(view, number)
            return suggestion.parameters if suggestion else None

        parameters, reason = whole(view.space, given, view.rng("complete", number), propose)
        return Suggestion(parameters=parameters, origin=ENQUEUED, reason=reason)

    def _issue(self, trial: TrialState, to: int, rung: int, reason: str) -> Issue:
        start, checkpoint = self._starting_point(trial, to)
        return Issue(
            trial=trial.number,
            start=start,
            to=to,
            rung=rung,
            bracket=trial.bracket,
            parameters=trial.parameters,
            origin=trial.origin,
            checkpoint=checkpoint,
            reason=reason,
            parent=trial.parent,
        )

    def _starting_point(self, trial: TrialState, to: int) -> tuple[int, CheckpointRef | None]:
        """Return where training towards `to` starts: the newest checkpoint that leaves something to do, or 0."""
        if self._view.study.resource is None:  # the trial counts for itself; the log knows only 0 and 1
            return 0, trial.checkpoint()
        usable = trial.committed(to - 1) or trial.inherited
        return (usable.resource, usable) if usable else (0, None)

    def _limit_on_trials(self) -> str:
        history = self._view.history
        limit = history.limits.trials
        if limit is None or len(history.trials) < limit:
            return ""
        return f"the limit of {limit} trials was reached, and none of them is to train further"

    def _affordable(self, cost: int) -> bool:
        history = self._view.history
        total = history.limits.total_resource
        return total is None or history.issued_resource + cost <= total

    def _spent(self) -> str:
        history = self._view.history
        unit = self._view.study.resource.name if self._view.study.resource else "run"
        total = history.limits.total_resource
        return f"{history.issued_resource} of {total} {unit}s were given out, and the next step needs more"
