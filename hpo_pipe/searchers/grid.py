"""Grid search: every combination of a few values of each parameter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_pipe.options import Refused
from hpo_pipe.searchers.tried import tried
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View

ROUNDS = 4


class GridSearcher:
    """Combinations in mixed-radix order, the last parameter fastest, case by case of the conditions; or shuffled.

    Each is there once: combinations that differ in inactive parameters only are one, forbidden ones are none.
    """

    finite = True
    uses_priors = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """How the grid is walked through."""

        shuffle: bool = False
        """In an order that depends on the study's seed, so that an interrupted grid is spread over the space."""

    def __init__(self, options: Options, space: Space) -> None:
        self._shuffle = options.shuffle
        self._grid = space.grid
        self.size = self._grid.size if self._grid else 0

    @staticmethod
    def check_space(space: Space) -> None:
        """Refuse a space whose grid cannot be counted: its conditions would make it endless in practice."""
        if space.grid is None:
            raise Refused(
                "searcher", "grid", "another one: the conditions of these parameters make too large a grid"
            )

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the next combination that was not tried, or None at the end of the grid.

        The trials that this grid proposed tell how far it is, so that configurations which a user enqueued take
        no place in it.
        """
        known = tried(view.history, view.space)
        key = int(view.rng("grid-shuffle", 0).integers(0, 2**62)) if self._shuffle else None
        for index in range(known.of_origin("grid"), self.size):
            place = index if key is None else shuffled(index, self.size, key)
            assert self._grid is not None  # its size is not 0
            parameters = self._grid[place]
            if view.space.identity(parameters) not in known:
                reason = f"combination {index + 1} of {self.size} of the grid"
                return Suggestion(parameters=parameters, origin="grid", reason=reason)
        return None


def shuffled(index: int, size: int, key: int) -> int:
    """Return the image of `index` under a permutation of 0 to size - 1 that `key` chooses.

    A Feistel network over the next even number of bits, walked until the image is below `size` (Black and Rogaway
    2002): no table, whatever the size.
    """
    half = max(1, (size - 1).bit_length() + 1 >> 1)
    while True:
        left, right = index >> half, index & ((1 << half) - 1)
        for round_number in range(ROUNDS):
            left, right = right, left ^ _scrambled((key, round_number, right)) & ((1 << half) - 1)
        index = left << half | right
        if index < size:
            return index


def _scrambled(words: Sequence[int]) -> int:
    digest = hashlib.sha256(b",".join(str(word).encode() for word in words)).digest()
    return int.from_bytes(digest, "big")
