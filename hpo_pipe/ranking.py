"""Who is better than whom: the one place where trials are ranked.

With one objective and no bounds, by (loss, trial): the fold keeps its rungs so, and they are used as they are.
Otherwise by the rules of :mod:`hpo_pipe.order`, over the same members.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

from hpo_pipe.following import following
from hpo_pipe.order import Order, figures, measured
from hpo_pipe.outcomes import at_rung
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.rung import Member, Rung


class Ranked(Protocol):
    """A rung as schedulers see it: plain, it is the fold's own."""

    @property
    def level(self) -> int:
        """The resource."""
        ...

    @property
    def promoted(self) -> set[int]:
        """Who was promoted from here."""
        ...

    def __len__(self) -> int: ...

    def __contains__(self, trial: int) -> bool: ...

    def rank(self, trial: int) -> int:
        """Return how many members rank before `trial`."""
        ...

    def best_waiting(self, share: int) -> int | None:
        """Return the best member that waits to be promoted, if it is among the best `share` of all."""
        ...


class OrderedRung:
    """A rung of a study with bounds or several objectives."""

    def __init__(self, rung: Rung, order: Order) -> None:
        self._rung = rung
        self.order = order
        self.level = rung.level
        self.promoted = rung.promoted

    def __len__(self) -> int:
        return len(self._rung)

    def __contains__(self, trial: int) -> bool:
        return trial in self._rung

    def rank(self, trial: int) -> int:
        """Return how many members rank before `trial`."""
        return self.order.rank(trial)

    def best_waiting(self, share: int) -> int | None:
        """Return the best member that waits, if it is among the best `share`."""
        for _, trial in zip(range(share), self.order.best_first(), strict=False):
            if self._rung.waits(trial) and not self.order[trial].failed:
                return trial
        return None


class RungOrders:
    """The rungs of one history, ranked. Kept as :mod:`hpo_pipe.following` says."""

    def __init__(self, view: View) -> None:
        self.orders = [Order(view.study) for _ in view.history.rungs]

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed."""
        trials = view.history.trials
        for number in changed:
            for place, order in enumerate(self.orders):
                gone = number >= len(trials)
                order.put(number, None if gone else at_rung(view.history, trials[number], place))


class BracketOrders:
    """The members of each bracket at each rung, ranked among themselves."""

    def __init__(self, view: View) -> None:
        self._orders: dict[tuple[int, int], Order] = {}
        self._brackets: dict[int, int] = {}  # of each trial

    def follow(self, view: View, changed: Iterable[int]) -> None:
        """Take in what changed."""
        trials = view.history.trials
        for number in changed:
            gone = number >= len(trials)
            before = self._brackets.pop(number, None)
            if before is not None and (gone or trials[number].bracket != before):
                for place in range(len(view.history.rungs)):
                    self._orders[before, place].put(number, None)
            if gone:
                continue
            bracket = self._brackets[number] = trials[number].bracket
            for place in range(len(view.history.rungs)):
                order = self._orders.setdefault((bracket, place), Order(view.study))
                order.put(number, at_rung(view.history, trials[number], place))

    def of(self, bracket: int, place: int) -> Order:
        """Return the order of a bracket's members at a rung."""
        return self._orders[bracket, place]


def ranked(view: View, place: int) -> Ranked:
    """Return rung `place`, ranked."""
    if view.study.plain:
        return view.history.rungs[place]
    return OrderedRung(view.history.rungs[place], rung_order(view, place))


def best_first(view: View, place: int) -> Iterator[int]:
    """Yield the members of rung `place`, best first."""
    if view.study.plain:
        return (trial for _, trial in view.history.rungs[place].ranking)
    return rung_order(view, place).best_first()


def grade(view: View, place: int, trial: int) -> tuple[int, float]:
    """Return how good a member of rung `place` is; see :meth:`Order.grade`."""
    if view.study.plain:
        return 0, view.history.rungs[place].loss(trial)
    return rung_order(view, place).grade(trial)


def rung_order(view: View, place: int) -> Order:
    """Return the order of rung `place` in a study with bounds or several objectives."""
    return following(view, RungOrders).orders[place]


def ranked_in_bracket(view: View, place: int, inside: list[int]) -> list[Member]:
    """Return (loss, trial) of trials of one bracket that were issued to rung `place`, best first.

    +inf is the loss of what failed, and of what is not measured.
    """
    table = view.history.rungs[place]
    if view.study.plain or not inside:
        return sorted((table.loss(trial) if trial in table else math.inf, trial) for trial in inside)
    order = following(view, BracketOrders).of(view.history.trials[inside[0]].bracket, place)
    found = [(order[trial].loss, trial) for trial in order.best_first()]
    return [*found, *((math.inf, trial) for trial in sorted(inside) if trial not in order)]


def best_trial(history: History) -> tuple[int, int] | None:
    """Return the incumbent and its rung: the best of the highest rung that has one with finite values within bounds.

    Where every checkpoint is kept, because trials are cloned, it is the best of all rungs, the higher one of equals:
    what counts then is the model. With several objectives that cannot be said, and the highest rung decides.
    """
    view = None if history.study.plain else View.of(history)
    if history.study.keep_checkpoints == "all" and len(history.study.objectives) == 1:
        return _best_of_all(history)
    for place in range(len(history.rungs) - 1, -1, -1):
        if view is not None:
            order = rung_order(view, place)
            first = next(order.best_first(), None)
            if first is not None and measured(order[first]):
                return first, place
        elif (members := history.rungs[place].ranking) and math.isfinite(members[0][0]):
            return members[0][1], place
    return None


def _best_of_all(history: History) -> tuple[int, int] | None:
    losses = [(best_loss(history, place), -place) for place in range(len(history.rungs))]
    loss, place = min(losses)
    if not math.isfinite(loss):
        return None
    return next(best_first(View.of(history), -place)), -place


def best_loss(history: History, place: int) -> float:
    """Return the objective's loss of the best of rung `place`; +inf where none is finite and within bounds."""
    if history.study.plain:
        members = history.rungs[place].ranking
        return members[0][0] if members else math.inf
    order = rung_order(View.of(history), place)
    first = next(order.best_first(), None)
    return math.inf if first is None or not measured(order[first]) else order[first].loss


def rung_figures(view: View, place: int, trial: int) -> str:
    """Return what a member of rung `place` came to there, and its front: 0 is the best."""
    if view.study.plain:
        loss = view.history.rungs[place].loss(trial)
        return f"{view.study.objective.name} {view.history.value(loss):.6g}"
    return figures(view.study, rung_order(view, place), trial)


def bracket_figures(view: View, place: int, trial: int) -> str:
    """Return the same of a member of a bracket's rung, with its front there."""
    if view.study.plain:
        return rung_figures(view, place, trial)
    order = following(view, BracketOrders).of(view.history.trials[trial].bracket, place)
    return figures(view.study, order, trial)
