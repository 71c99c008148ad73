"""Which results of another study are kept, and which of its configurations are tried first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo_pipe.order import Order, measured
from hpo_pipe.outcomes import outcome
from hpo_pipe.space import Space
from hpo_pipe.transfer.points import at, reach
from storage_schema.records import Curve, Study, WarmResult

CAP = 300
"""Results of one source: the better half of them as they are, the rest spread evenly."""


def best_first(study: Study, rungs: Sequence[int], results: Sequence[WarmResult]) -> list[WarmResult]:
    """Return results best first, by what counts in `study`; failed ones last.

    Who came further comes first, as in the search that they are of: a value after nine units is no match for one after
    one.

    Args:
        study: says what counts.
        rungs: where the results may be compared, rising.
        results: of one source.
    """
    orders = [Order(study) for _ in rungs]
    by_number = {result.trial: result for result in results}
    nowhere = []
    for result in results:
        place = furthest(study, rungs, result)
        if place is None:
            nowhere.append(result.trial)
            continue
        orders[place].put(result.trial, outcome(study, lambda name, r=result, p=place: at(r, name, rungs[p])))  # type: ignore[misc]
    good: list[int] = []
    others: list[int] = []
    for order in reversed(orders):
        for trial in order.best_first():
            (good if measured(order[trial]) else others).append(trial)
    return [by_number[trial] for trial in (*good, *others, *sorted(nowhere))]


def furthest(study: Study, rungs: Sequence[int], result: WarmResult) -> int | None:
    """Return the last rung that a result got to; None where it failed, or came to none."""
    if result.failed:
        return None
    reached = reach(result.curves.get(study.objective.name, ()))
    return next((place for place in range(len(rungs) - 1, -1, -1) if rungs[place] <= reached), None)


def kept(ranked: Sequence[WarmResult], cap: int = CAP) -> tuple[WarmResult, ...]:
    """Return at most `cap` of ranked results: the better half of what may stay, and the rest spread evenly."""
    if len(ranked) <= cap:
        return tuple(ranked)
    half = (cap + 1) // 2
    rest, count = ranked[half:], cap - half
    return (*ranked[:half], *(rest[place * len(rest) // count] for place in range(count)))


def to_try(
    study: Study, space: Space, rungs: Sequence[int], ranked: Sequence[WarmResult], count: int
) -> tuple[int, ...]:
    """Return the trials of the `count` best different configurations, of those with a value within all bounds."""
    seen: dict[str, int] = {}
    for result in _good(study, rungs, ranked):
        if len(seen) >= count:
            break
        seen.setdefault(space.identity(result.parameters), result.trial)
    return tuple(seen.values())[:count]


def _good(study: Study, rungs: Sequence[int], ranked: Sequence[WarmResult]) -> Iterator[WarmResult]:
    for result in ranked:
        place = furthest(study, rungs, result)
        if place is not None and measured(
            outcome(study, lambda name, r=result, p=place: at(r, name, rungs[p]))  # type: ignore[misc]
        ):
            yield result


def thinned(curve: Curve, levels: Sequence[int]) -> Curve:
    """Return the points that a curve has at, or last before, each of some rising resources, and its last one."""
    wanted: set[int] = {curve[-1][0]} if curve else set()
    place = -1
    for level in levels:
        while place + 1 < len(curve) and curve[place + 1][0] <= level:
            place += 1
        if place >= 0:
            wanted.add(curve[place][0])
    return tuple(point for point in curve if point[0] in wanted)
