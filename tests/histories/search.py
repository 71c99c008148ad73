"""The general check (Wing & Gong): try every order that real time allows. To prove the fast one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tests.histories.recorder import Operation

State = tuple[str, ...]
"""The digests of a list's entries so far."""


def linearizable(keys: Sequence[str], history: Sequence[Operation], *, sends_again: bool) -> bool:
    """Tell whether some order of all answered requests, and of some of the others, explains all answers."""
    place = {key: number for number, key in enumerate(keys)}

    @cache
    def possible(left: frozenset[int], state: State) -> bool:
        if all(history[number].outcome == "unknown" for number in left):
            return True  # those never took effect
        first_answer = min(history[number].answered for number in left)
        return any(
            possible(left - {number}, after)
            for number in left
            if history[number].called <= first_answer
            for after in _after(state, history[number], place[history[number].key], sends_again=sends_again)
        )

    return possible(frozenset(range(len(history))), ())


def _after(state: State, operation: Operation, place: int, *, sends_again: bool) -> list[State]:
    """Return the states that the list may be in after `operation`; none where its answer was wrong in `state`."""
    there = place < len(state)
    filled = [(*state, operation.digest)] if place == len(state) else []
    match operation.outcome:
        case "absent":
            return [] if there else [state]
        case "value":
            return [state] if there and state[place] == operation.digest else []
        case "created":
            return filled
        case "exists":
            return [state] if there else (filled if sends_again else [])
        case _:
            return filled
