"""Random search (Bergstra and Bengio 2012): every configuration is an independent draw."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View


class RandomSearcher:
    """Uniform on each parameter's own scale, or from the user's priors; no configuration twice."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None."""

    def __init__(self, options: Options, space: Space) -> None:
        pass

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a draw, keyed by `number`."""
        return fresh(view, number, "random", priors=True)
