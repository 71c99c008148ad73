"""Grid search: every combination of a few values of each parameter."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_pipe.searchers.tried import tried
from hpo_pipe.space import Space
from hpo_pipe.view import Suggestion, View
from storage_schema.codec import Json

ROUNDS = 4


class GridSearcher:
    """Combinations in mixed-radix order, the last parameter fastest; or shuffled."""

    finite = True

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """How the grid is walked through."""

        shuffle: bool = False
        """In an order that depends on the study's seed, so that an interrupted grid is spread over the space."""

    def __init__(self, options: Options, space: Space) -> None:
        self._shuffle = options.shuffle
        self._values = {p.name: p.grid() for p in space.parameters}
        self.size = math.prod(len(values) for values in self._values.values())

    def suggest(self, view: View, number: int) -> Suggestion | None:
        """Return the next combination that was not tried, or None at the end of the grid.

        The trials that this grid proposed tell how far it is, so that configurations which a user enqueued take
        no place in it.
        """
        known = tried(view.history, view.space)
        key = int(view.rng("grid-shuffle", 0).integers(0, 2**62)) if self._shuffle else None
        for index in range(known.of_origin("grid"), self.size):
            place = index if key is None else shuffled(index, self.size, key)
            parameters = combination(place, self._values)
            if view.space.identity(parameters) not in known:
                reason = f"combination {index + 1} of {self.size} of the grid"
                return Suggestion(parameters=parameters, origin="grid", reason=reason)
        return None


def combination(index: int, values: dict[str, tuple[Json, ...]]) -> dict[str, Json]:
    """Return combination `index` of the values of each parameter, the last one fastest."""
    found: dict[str, Json] = {}
    for name, choices in reversed(values.items()):
        index, place = divmod(index, len(choices))
        found[name] = choices[place]
    return {name: found[name] for name in values}


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
