"""The configurations of a countable space, numbered: each one once, active parameters only, forbidden ones left out.

What decides which parameters are active and what is forbidden are few parameters, and of their values only classes
that all tests see alike. Those are walked through as a tree, once; every leaf stands for a product of plain values, so
that a space of any size is counted, and its configuration number i found, without walking through it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpo_pipe.choices import CategoricalParameter
from hpo_pipe.conditions import Clause, Test
from hpo_pipe.parameters import Parameter
from storage_schema.codec import Json

MAX_STEPS = 20_000
"""Of the tree's walk; a space whose conditions need more is not counted."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """The configurations that all tests see alike: a choice of numbers of values for each active parameter."""

    numbers: dict[str, Sequence[int]]
    before: int
    """How many configurations the leaves before it have."""


class Enumeration:
    """Configuration `i` of `size`, the last parameter fastest where nothing is conditional or forbidden."""

    def __init__(self, parameters: Sequence[Parameter], leaves: Sequence[_Leaf], size: int) -> None:
        self._parameters = {p.name: p for p in parameters}
        self._leaves = leaves
        self._starts = [leaf.before for leaf in leaves]
        self.size = size

    @classmethod
    def of(
        cls,
        parameters: Sequence[Parameter],
        order: Sequence[str],
        conditions: Mapping[str, Clause],
        forbidden: Sequence[Clause],
    ) -> Enumeration | None:
        """Return the enumeration, or None where some parameter is not countable, or the conditions are too many.

        Args:
            parameters: all of the space.
            order: their names, parents before their children.
            conditions: by the name of the conditional parameter.
            forbidden: clauses.
        """
        if any(p.size is None for p in parameters):
            return None
        by_name = {p.name: p for p in parameters}
        tests: dict[str, list[Test]] = {}
        for clause in (*conditions.values(), *forbidden):
            for test in clause.tests:
                tests.setdefault(test.name, []).append(test)
        classes = {name: _classes(by_name[name], found) for name, found in tests.items()}
        walk = _Walk(by_name, [n for n in order if n in tests], classes, conditions, forbidden)
        if not walk.done():
            return None
        leaves: list[_Leaf] = []
        size = 0
        for chosen in walk.found:
            active = {name: by_name[name].at(numbers[0]) for name, numbers in chosen.items()}
            plain = [p for p in parameters if p.name not in tests]
            numbers = dict(chosen)
            numbers |= {p.name: range(p.size or 0) for p in plain if _is_active(p.name, active, conditions)}
            leaves.append(_Leaf({n: numbers[n] for n in by_name if n in numbers}, size))
            size += math.prod(map(len, numbers.values()))
        return cls(parameters, leaves, size)

    def __getitem__(self, index: int) -> dict[str, Json]:
        """Return configuration `index`, 0 to size - 1, in the order of the space."""
        leaf = self._leaves[bisect_right(self._starts, index) - 1]
        index -= leaf.before
        found: dict[str, Json] = {}
        for name, numbers in reversed(leaf.numbers.items()):
            index, place = divmod(index, len(numbers))
            found[name] = self._parameters[name].at(numbers[place])
        return {name: found[name] for name in leaf.numbers}


class _Walk:
    """Depth first through the classes of the parameters that tests look at."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        names: Sequence[str],
        classes: Mapping[str, list[Sequence[int]]],
        conditions: Mapping[str, Clause],
        forbidden: Sequence[Clause],
    ) -> None:
        self._parameters = parameters
        self._names = names
        self._classes = classes
        self._conditions = conditions
        self._forbidden = forbidden
        self.found: list[dict[str, Sequence[int]]] = []

    def done(self) -> bool:
        """Walk; tell whether it came to the end."""
        stack: list[tuple[int, dict[str, Sequence[int]], dict[str, Json]]] = [(0, {}, {})]
        for _ in range(MAX_STEPS):
            if not stack:
                return True
            depth, chosen, active = stack.pop()
            if depth == len(self._names):
                if not any(clause.holds(active) for clause in self._forbidden):
                    self.found.append(chosen)
                continue
            name = self._names[depth]
            if not _is_active(name, active, self._conditions):
                stack.append((depth + 1, chosen, active))
                continue
            at = self._parameters[name].at
            stack += [
                (depth + 1, {**chosen, name: numbers}, {**active, name: at(numbers[0])})
                for numbers in reversed(self._classes[name])
            ]
        return not stack


def _is_active(name: str, active: Mapping[str, Json], conditions: Mapping[str, Clause]) -> bool:
    return name not in conditions or conditions[name].holds(active)


def _classes(parameter: Parameter, tests: Sequence[Test]) -> list[Sequence[int]]:
    """Return the numbers of a parameter's values in classes that all tests see alike."""
    if isinstance(parameter, CategoricalParameter):
        return _alike(parameter.values, tests)
    size = parameter.size or 0
    runs = [run for test in tests for run in test.places(parameter)]
    cuts = sorted({0, size} | {run.start for run in runs} | {run.stop for run in runs})
    return [range(start, stop) for start, stop in pairwise(cuts)]


def _alike(values: Sequence[Json], tests: Sequence[Test]) -> list[Sequence[int]]:
    seen: dict[tuple[bool, ...], list[int]] = {}
    for number, value in enumerate(values):
        seen.setdefault(tuple(test.holds(value) for test in tests), []).append(number)
    return list(seen.values())
