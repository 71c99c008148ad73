"""Which configurations a history holds, without computing their identities again for every suggestion.

The answer is a function of the history alone. The index only makes it quick: it is kept per History, and follows its
list of trials, which grows, and shrinks again when a draft ends. A trial that was taken back and another one in its
place are different objects, so what is stale is found from the end of the list.
"""

from __future__ import annotations

from collections import Counter
from weakref import WeakKeyDictionary

from hpo_pipe.space import Space
from storage_schema.history import History
from storage_schema.trial_state import TrialState

_INDEXES: WeakKeyDictionary[History, Tried] = WeakKeyDictionary()


class Tried:
    """The identities and origins of a history's trials."""

    def __init__(self) -> None:
        self._trials: list[tuple[TrialState, str]] = []
        self._identities: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()

    def __contains__(self, identity: str) -> bool:
        return identity in self._identities

    def __len__(self) -> int:
        """How many different configurations there are."""
        return len(self._identities)

    def of_origin(self, origin: str) -> int:
        """Return how many trials a searcher proposed."""
        return self._origins[origin]

    def follow(self, trials: list[TrialState], space: Space) -> None:
        """Bring the index up to `trials`: O(what changed)."""
        own = self._trials
        while own and (len(own) > len(trials) or own[-1][0] is not trials[len(own) - 1]):
            trial, identity = own.pop()
            _less(self._identities, identity)
            _less(self._origins, trial.origin)
        for trial in trials[len(own) :]:
            identity = space.identity(trial.parameters)
            own.append((trial, identity))
            self._identities[identity] += 1
            self._origins[trial.origin] += 1


def tried(history: History, space: Space) -> Tried:
    """Return what `history` holds now. Ask again after every change."""
    index = _INDEXES.get(history)
    if index is None:
        index = _INDEXES[history] = Tried()
    index.follow(history.trials, space)
    return index


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
