"""How much goes into one log entry: one that nobody can read would end its study for good (a record has 8 MiB)."""

from __future__ import annotations

from collections.abc import Iterable

from storage_schema.records import SettledSpec

MAX_FACTS_BYTES = 3 * 1024 * 1024
"""Of an entry's facts; the rest is for its decisions (`hpo_pipe.decide`)."""
FACT_BYTES, POINT_BYTES = 2_500, 40
"""At most: a fact without its curves, and one point of a curve, as JSON."""


def first_of(facts: Iterable[SettledSpec]) -> tuple[SettledSpec, ...]:
    """Return as many facts as one entry may hold, at least one; the others go into the next entries.

    What was settled while no coordinator ran may be more: a thousand specs of ten metrics, or fifty of a hundred.
    """
    taken: list[SettledSpec] = []
    left = MAX_FACTS_BYTES
    for fact in facts:
        left -= FACT_BYTES + sum(
            4 * len(name) + POINT_BYTES * len(curve) for name, curve in fact.curves.items()
        )
        if left < 0 and taken:
            break
        taken.append(fact)
    return tuple(taken)
