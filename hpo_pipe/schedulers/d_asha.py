"""D-ASHA, delayed promotions: Li et al., VLDB 2022 (Hyper-Tune), arXiv:2201.06834, section 4.

ASHA promotes early and, on noisy rungs, too many. Here rung k promotes only once it has R * eta**-k members (R in
units of the least resource), and never more than one in eta of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.options import option
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.view import View


class DelayedAshaScheduler(AshaScheduler):
    """Registered as ``d_asha``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(AshaScheduler.Options):
        """As for ASHA."""

        delay: bool = option(True)
        """Whether a rung waits for its R * eta**-k members before it promotes at all."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._delay = options.delay

    def _may_promote(self, view: View, place: int) -> bool:
        rungs = view.history.rungs
        rung = rungs[place]
        if (len(rung.promoted) + 1) * self._eta > len(rung):
            return False
        most = rungs[-1].level
        return not self._delay or len(rung) * rungs[0].level * self._eta**place >= most
