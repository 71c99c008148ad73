"""Random search (Bergstra and Bengio 2012): every configuration is an independent uniform draw."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.searchers.fresh import fresh
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View


class RandomSearcher:
    """Uniform on each parameter's own scale; no configuration twice."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None."""

    def __init__(self, options: Options, space: Space) -> None:
        pass

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return a uniform draw, keyed by `number`."""
        return fresh(view, number, "random")
