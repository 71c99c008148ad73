"""ASHA, the stopping variant: trials run on, and end at a rung where they are not among the best.

The rule at a rung: go on if the rank among all that have reported there is below max(1, floor(n / eta)), this trial
included. The first ones to arrive always go on, so the outcome depends on the order of arrival. No trial is paused,
so none needs a checkpoint. What was decided on a report stands, whatever is reported later.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpo_pipe.schedulers.asha import AshaScheduler, drawn_bracket
from hpo_pipe.schedulers.reported import Standing, standing
from hpo_pipe.view import Move, Sample, Stop, View


class AshaStoppingScheduler:
    """Registered as ``asha_stopping``."""

    needs_resource = True

    Options = AshaScheduler.Options
    """A trial of bracket s is first looked at at rung s."""
    check = staticmethod(AshaScheduler.check)

    def __init__(self, options: AshaScheduler.Options) -> None:
        self._eta = options.eta
        self._brackets = options.brackets

    @staticmethod
    def milestones(options: AshaScheduler.Options, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return all rungs but the last."""
        return rungs[:-1]

    def judge(self, view: View) -> Iterator[Stop]:
        """Yield the trials that have just reported at a rung and are not among its best."""
        levels = {rung.level: place for place, rung in enumerate(view.history.rungs)}
        stopped: set[int] = set()
        for trial, resource in view.history.news:
            place = levels.get(resource)
            known = view.history.trials[trial]
            if place is None or place < known.bracket or trial in stopped or known.stopped:
                continue
            found = standing(view, place, trial)
            if found is not None and found.rank >= max(1, found.count // self._eta):
                stopped.add(trial)
                yield Stop(trial=trial, reason=self._why(view, resource, found))

    def next_move(self, view: View) -> Move | None:
        """Return a new trial, always: it goes to the end unless it is stopped."""
        levels = [rung.level for rung in view.history.rungs]
        bracket = drawn_bracket(view, self._brackets)
        unit = view.study.resource.name if view.study.resource else "step"
        return Sample(
            bracket=bracket,
            rung=len(levels) - 1,
            reason=f"trained to the end unless it falls behind, from {unit} {levels[bracket]} on",
        )

    def next_promotion(self, view: View) -> Move | None:
        """Return None: no trial is ever paused."""
        return None

    def _why(self, view: View, resource: int, found: Standing) -> str:
        kept = max(1, found.count // self._eta)
        unit = view.study.resource.name if view.study.resource else "step"
        return (
            f"rank {found.rank + 1} of {found.count} at {unit} {resource}, {found.figures()}; "
            f"only the best {kept} {'goes' if kept == 1 else 'go'} on"
        )
