"""D-ASHA, delayed promotions: Li et al., VLDB 2022 (Hyper-Tune), arXiv:2201.06834, section 4.

ASHA promotes early and, on noisy rungs, too many. Here rung k promotes only once it has R * eta**-k members (R in
units of the least resource), and never more than one in eta of them. Which rung a new trial starts at may follow from
how far each rung's ranking is to be believed; with the searcher ``hyper_tune`` this is Hyper-Tune.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.models.rung_ensemble import brackets
from hpo_pipe.models.threads import one_thread
from hpo_pipe.options import Refused, option
from hpo_pipe.rung_models.weights import rung_weights
from hpo_pipe.rungs import bracket_shares
from hpo_pipe.schedulers.asha import AshaScheduler, drawn_of
from hpo_pipe.view import View


class DelayedAshaScheduler(AshaScheduler):
    """Registered as ``d_asha``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(AshaScheduler.Options):
        """As for ASHA."""

        delay: bool = option(True)
        """Whether a rung waits for its R * eta**-k members before it promotes at all."""
        learn_brackets: bool = option(False)
        """Whether `brackets` are drawn by what their first rung's ranking is worth and costs, as Hyper-Tune does."""

        def __post_init__(self) -> None:
            if self.learn_brackets and self.brackets == 1:
                raise Refused("brackets", self.brackets, "at least 2, for learn_brackets to choose from")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._delay = options.delay
        self._learn = options.learn_brackets

    def _may_promote(self, view: View, place: int) -> bool:
        rungs = view.history.rungs
        rung = rungs[place]
        if (len(rung.promoted) + 1) * self._eta > len(rung):
            return False
        most = rungs[-1].level
        return not self._delay or len(rung) * rungs[0].level * self._eta**place >= most

    def _drawn(self, view: View) -> tuple[int, str]:
        if not self._learn:
            return super()._drawn(view)
        shares, why = learned_shares(view, self._brackets)
        return drawn_of(view, shares), why


def learned_shares(view: View, count: int) -> tuple[tuple[float, ...], str]:
    """Return the probability of each of `count` brackets for the next trial, and what to say of it.

    Hyperband's, shared out anew among the brackets whose first rung has a model: by the rung's weight for each unit of
    its resource.
    """
    levels = tuple(rung.level for rung in view.history.rungs)
    default = bracket_shares(levels, count)
    with one_thread():
        found = rung_weights(view, len(view.history.trials))
    if found is None:
        return default, "; brackets as in Hyperband, no rung has enough results for a weight"
    shares = brackets(found.rungs, found.weights, levels, default)
    told = " / ".join(f"{share:.0%}" for share in shares)
    how = "as in Hyperband" if shares == default else "by what their first rungs are worth and cost"
    return shares, f"; brackets {told} {how} (weights of rungs: {found.named(view)})"
