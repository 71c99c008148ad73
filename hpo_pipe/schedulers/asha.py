"""ASHA, the promotion variant: Li et al., MLSys 2020, arXiv:1810.05934, Algorithm 2.

From the highest rung downwards, the best trial that waits in the top 1/eta of its rung is promoted; where there is
none, a new trial starts. Trials that failed count as members with the worst value. The number of promotions from a
rung is not bounded by floor(n / eta): a trial that was in the top share when it was promoted may be overtaken later.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.options import Refused, option
from hpo_pipe.ranking import ranked, rung_figures
from hpo_pipe.rungs import bracket_of, bracket_shares
from hpo_pipe.schedulers.grace import NONE_SKIPPED, Skipped, skipped
from hpo_pipe.view import Move, Promote, Sample, View

_SHARE = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}


class AshaScheduler:
    """Registered as ``asha``."""

    needs_resource = True

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the paper: eta, and the number of early-stopping rates s = 0, 1, ... that are mixed."""

        eta: int = option(3, low=2, high=1000)
        brackets: int = option(1, low=1, high=64)
        """Bracket s starts its trials at rung s. All brackets share one table of rungs."""
        adaptive_grace: bool = option(False)
        """Whether new trials skip a first rung whose ranking says nothing about the next one's."""

    def __init__(self, options: Options) -> None:
        self._eta = options.eta
        self._brackets = options.brackets
        self._adaptive = options.adaptive_grace

    @staticmethod
    def check(options: Options, rungs: tuple[int, ...]) -> None:
        """Raise Refused where the options do not go with the study's rungs."""
        if options.brackets > len(rungs):
            raise Refused("brackets", options.brackets, f"at most {len(rungs)}, the number of rungs")

    def next_move(self, view: View) -> Move | None:
        """Return the promotion from the highest rung that has one, else a new trial."""
        return self.next_promotion(view) or self._sample(view)

    def next_promotion(self, view: View) -> Move | None:
        """Return the best waiting trial of the highest rung where it is in the top share: O(rungs · log n)."""
        for place in range(len(view.history.rungs) - 2, self._skipped(view).count - 1, -1):
            if not view.history.rungs[place].waiting:
                continue
            rung = ranked(view, place)
            trial = rung.best_waiting(len(rung) // self._eta)
            if trial is not None and self._may_promote(view, place):
                return Promote(trial=trial, rung=place + 1, reason=self._why(view, place, trial))
        return None

    def _may_promote(self, view: View, place: int) -> bool:
        """Tell whether rung `place` promotes at all now; what a variant changes."""
        return True

    def _why(self, view: View, place: int, trial: int) -> str:
        rung = ranked(view, place)
        unit = view.study.resource.name if view.study.resource else "step"
        share = _SHARE.get(self._eta, f"1 in {self._eta}")
        kept = len(rung) // self._eta
        return (
            f"rank {rung.rank(trial) + 1} of {len(rung)} at {unit} {rung.level}, "
            f"{rung_figures(view, place, trial)}; the best {share} ({kept}) "
            f"{'is' if kept == 1 else 'are'} promoted"
        )

    def _skipped(self, view: View) -> Skipped:
        return skipped(view) if self._adaptive else NONE_SKIPPED

    def _drawn(self, view: View) -> tuple[int, str]:
        """Return the bracket of the next trial, and what to say of how it was drawn; what a variant changes."""
        return drawn_bracket(view, self._brackets), ""

    def _sample(self, view: View) -> Sample:
        grace = self._skipped(view)
        drawn, why = self._drawn(view)
        bracket = max(drawn, grace.count)
        unit = view.study.resource.name if view.study.resource else "step"
        rung = view.history.rungs[bracket].level
        named = f"bracket {bracket} " if self._brackets > 1 else ""
        reason = (
            f"no waiting trial is good enough to train on; a new one {named}starts with {unit} {rung}{why}"
        )
        if grace.count:
            low = view.history.rungs[grace.count - 1].level
            reason += (
                f", for {unit} {low} ranks as by chance (tau {grace.tau:.2f} over {grace.trials} trials)"
            )
        return Sample(bracket=bracket, rung=bracket, reason=reason)


def drawn_bracket(view: View, brackets: int) -> int:
    """Return the bracket of the next trial, drawn in Hyperband's proportions; keyed by the trial's number."""
    return drawn_of(view, bracket_shares(tuple(rung.level for rung in view.history.rungs), brackets))


def drawn_of(view: View, shares: tuple[float, ...]) -> int:
    """Return the bracket of the next trial, drawn with these probabilities; keyed by the trial's number."""
    u = float(view.rng("bracket", len(view.history.trials)).random())
    return bracket_of(u, shares) if len(shares) > 1 else 0
