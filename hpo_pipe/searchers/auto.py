"""The search that a user gets without choosing: a portfolio of models, chosen by the space and by what is known.

Models of the same history fail in different places: alone, each of them gets stuck now and then, in turns they do not
(the finding of every winner of the black-box challenge of 2020, arXiv:2104.10201). So trials are proposed in turns, by
their number, from :func:`portfolio`; a share that no model can be argued out of is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hpo_pipe.options import option
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import MOST_NEEDED, values_at
from hpo_pipe.searchers import forest, gp, kde, rgpe
from hpo_pipe.searchers.candidates import Candidates, Start, suggested
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

ORIGIN = "auto"
MANY_RESULTS = 1000
"""At the lowest rung: beyond, models whose cost does not grow with the square of the results take over."""
MANY_DIMENSIONS = 30
"""Beyond, distances tell a Gaussian process little."""

WARPING = "yeo-johnson"
"""How losses become values for the Gaussian processes."""

Model = Callable[[View, int], Candidates | None]

MODELS: Mapping[str, Model] = {
    "gp": lambda view, number: gp.candidates(view, number, warping=WARPING, origin=ORIGIN),
    "rgpe": lambda view, number: rgpe.candidates(view, number, warping=WARPING, origin=ORIGIN),
    "forest": lambda view, number: forest.candidates(view, number, origin=ORIGIN),
    "kde": lambda view, number: kde.candidates(view, number, origin=ORIGIN),
}


class AutoSearcher:
    """Registered as ``auto``."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What comes before the models, and beside them."""

        initial: int | None = option(None, low=1, high=10_000)
        """Trials before the models, from a Sobol sequence; 2 (d + 1) in d dimensions, from 8 to 24."""
        random_share: float = option(0.2, low=0.0, high=1.0)
        """Share of configurations that are drawn at random."""

    def __init__(self, options: Options, space: Space) -> None:
        initial = options.initial or min(max(8, 2 * (len(space.dimensions) + 1)), MOST_NEEDED)
        self._start = Start(trials=initial, random_share=options.random_share)

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return what the model whose turn it is proposes; where it knows too little, the next one."""
        return suggested(view, number, ORIGIN, self._start, lambda: _in_turn(view, number))


def portfolio(view: View, number: int) -> tuple[str, ...]:
    """Return the models that take turns from trial `number` on, by name; the same one may have several turns.

    Two Gaussian processes to one forest, which finds what is not smooth and looks at higher rungs. Where most
    parameters are categories or some depend on others, distances mean little: forest and densities. The same with more
    than 30 parameters, or more than 1,000 results. With other studies to learn from, their ensemble has a turn of the
    Gaussian process.
    """
    space, kinds = view.space, view.space.kinds
    categories = sum(kind.kind == "category" for kind in kinds)
    if values_at(snapshot(view, number), 0) > MANY_RESULTS:
        return ("forest", "kde")
    if space.conditions or 2 * categories > len(kinds):
        return ("forest", "forest", "kde")
    if len(kinds) > MANY_DIMENSIONS:
        return ("gp", "forest", "kde")
    return ("rgpe", "gp", "forest") if rgpe.foreign(view) else ("gp", "gp", "forest")


def _in_turn(view: View, number: int) -> Candidates | None:
    models = portfolio(view, number)
    for turn in range(number, number + len(models)):
        name = models[turn % len(models)]
        found = MODELS[name](view, number)
        if found is not None:
            return _shared(found, f"{models.count(name)} of {len(models)} turns")
    return None


def _shared(found: Candidates, share: str) -> Candidates:
    """Return candidates whose reason also tells the model's share."""
    return replace(found, reason=lambda score: f"{found.reason(score)} ({share})")
