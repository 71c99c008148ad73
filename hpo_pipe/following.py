"""What is kept beside a history so that a decision need not read all of it: one object per history and kind.

What is kept is a function of the history alone, so a decision that uses it stays pure. It follows
:attr:`History.touched`, which names the trials that changed and those that a draft took back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from hpo_pipe.view import View
from storage_schema.history import History

_KEPT: WeakKeyDictionary[History, dict[type, tuple[Follower, int]]] = WeakKeyDictionary()


class Follower(Protocol):
    """Something that is kept for one history."""

    def __init__(self, view: View) -> None:
        """Begin with nothing. It must not hold on to the view's history, which would then never be let go."""

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed: trials by number, ascending; those at or past the end are gone."""


F = TypeVar("F", bound=Follower)


def following(view: View, kind: type[F]) -> F:
    """Return the one of its kind, up to date: O(changes). Ask again after every change."""
    kept = _KEPT.setdefault(view.history, {})
    touched = view.history.touched
    found, seen = kept.get(kind, (None, 0))
    if not isinstance(found, kind):
        found = kind(view)
    if seen < len(touched) or seen == 0:
        found.follow(view, sorted(set(touched[seen:])))
        kept[kind] = (found, len(touched))
    return found
