"""The search space: parameters by name, when they are active, what is forbidden, and their place in the unit cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.choices import CategoricalParameter, OrdinalParameter
from hpo_pipe.conditions import Clause, in_order
from hpo_pipe.enumeration import Enumeration
from hpo_pipe.parameters import Parameter
from hpo_pipe.priors import Prior
from hpo_pipe.space_check import checked
from hpo_pipe.space_reading import read_space
from hpo_pipe.vectors import Mask, Points, Vectors
from storage_schema.codec import Json, encode, sha256


@dataclass(frozen=True, slots=True)
class Dimension:
    """One free parameter, as a model sees it."""

    name: str
    kind: str
    """``number`` (float, int), ``ordered`` (ordinal), or ``category``: there places say nothing about nearness."""
    levels: int
    """How many values it has; 0 for a continuous one."""


@dataclass(frozen=True)
class Space:
    """What is searched. A value.

    ``d`` is the number of free parameters, those with more than one value; vectors are in their order, in [0, 1], and
    NaN where a parameter is inactive. A configuration holds the active parameters only, constants too.
    """

    parameters: tuple[Parameter, ...]
    conditions: Mapping[str, Clause] = field(default_factory=dict)
    """When a parameter is active, by name; the others always are."""
    priors: Mapping[str, Prior] = field(default_factory=dict)
    """Where the user believes good values to lie, by name; elsewhere nothing is known."""
    forbidden: tuple[Clause, ...] = ()
    """A configuration that one of these holds for is not to be tried."""

    @classmethod
    def from_json(cls, value: Sequence[Json], where: str = "study.json", constraints: Json = None) -> Space:
        """Read a list of parameters, each ``{"name": ..., "type": ..., ...}``, and what is forbidden.

        Raises:
            StudyFileError: with one line per parameter or combination that is wrong.
        """
        return cls(*read_space(value, constraints, where))

    def to_json(self) -> list[Json]:
        """Return the parameters as :meth:`from_json` reads them."""
        found: list[Json] = []
        for parameter in self.parameters:
            item: dict[str, Json] = dict(parameter.to_json())
            if parameter.name in self.conditions:
                item["when"] = self.conditions[parameter.name].to_json()
            if parameter.name in self.priors:
                item |= self.priors[parameter.name].to_json()
            found.append(item)
        return found

    def constraints_json(self) -> dict[str, Json]:
        """Return what is forbidden as :meth:`from_json` reads it; empty where nothing is."""
        return {"forbidden": [clause.to_json() for clause in self.forbidden]} if self.forbidden else {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the study file."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def dimensions(self) -> tuple[Parameter, ...]:
        """The free parameters: those with more than one value."""
        return tuple(parameter for parameter in self.parameters if parameter.size != 1)

    @cached_property
    def kinds(self) -> tuple[Dimension, ...]:
        """The free parameters as models see them."""
        return tuple(Dimension(p.name, _kind(p), p.size or 0) for p in self.dimensions)

    @property
    def has_priors(self) -> bool:
        """Whether the user has said where good values are thought to lie."""
        return bool(self.priors)

    @cached_property
    def size(self) -> int | None:
        """How many different permitted configurations there are.

        None where they are not countable, or their conditions are too many to count through.
        """
        return self._enumeration.size if self._enumeration else None

    def configuration(self, index: int) -> dict[str, Json]:
        """Return configuration `index` (0 to size - 1) of a space with a size; each one is there once."""
        assert self._enumeration is not None, "only a space with a size has numbered configurations"
        return self._enumeration[index]

    @cached_property
    def grid(self) -> Enumeration | None:
        """The permitted combinations of the values that a grid search tries; None where they cannot be counted."""
        listed = [OrdinalParameter(name=p.name, values=p.grid()) for p in self.parameters]
        return Enumeration.of(listed, self.order, self.conditions, self.forbidden)

    # -- one configuration --------------------------------------------------------------------------------------

    def decode(self, u: NDArray[np.float64]) -> dict[str, Json]:
        """Return the configuration at `u`, shape (d,); entries of inactive parameters may be anything.

        Raises:
            ValueError: NaN where a parameter is active.
        """
        places = u.tolist()
        found: dict[str, Json] = {}
        for parameter, column, clause in self._plan:
            if clause is not None and not clause.holds(found):
                continue
            place = 0.5 if column is None else places[column]
            if place != place:
                raise ValueError(f"NaN stands for an inactive parameter, and {parameter.name} is active")
            found[parameter.name] = parameter.decode(place)
        return (
            found if self.order == self.names else {name: found[name] for name in self.names if name in found}
        )

    def encode(self, parameters: Mapping[str, Json]) -> NDArray[np.float64]:
        """Return where a configuration lies, shape (d,); NaN for what is inactive or missing."""
        found = np.full(len(self.dimensions), np.nan)
        active = self.active(parameters)
        for parameter, column, _ in self._plan:
            if column is not None and parameter.name in active:
                found[column] = parameter.encode(active[parameter.name])
        return found

    def active(self, parameters: Mapping[str, Json]) -> dict[str, Json]:
        """Return the active ones of `parameters`, parents before children; what needs a missing parent is not."""
        if not self.conditions:
            return {name: parameters[name] for name in self.names if name in parameters}
        found: dict[str, Json] = {}
        for name in self.order:
            clause = self.conditions.get(name)
            if name in parameters and (clause is None or clause.holds(found)):
                found[name] = parameters[name]
        return found

    def allowed(self, parameters: Mapping[str, Json]) -> bool:
        """Tell whether no forbidden combination holds for the active ones of `parameters`."""
        if not self.forbidden:
            return True
        active = self.active(parameters)
        return not any(clause.holds(active) for clause in self.forbidden)

    def identity(self, parameters: Mapping[str, Json]) -> str:
        """Return the SHA-256 of the configuration's canonical JSON: equal for equal configurations."""
        return sha256(encode(dict(parameters)))

    def check(self, parameters: Mapping[str, Json], partial: bool = False) -> dict[str, Json]:
        """Return a user's configuration as a trial will see it, in the order of the space, active parameters only.

        Args:
            parameters: name to value, typed as given: "0.1" is a string, not a number. What is inactive is left out.
            partial: free parameters may be missing, and then constants are not filled in either. A parameter whose
                activity is open, because a parent is missing, stays.

        Raises:
            UserError: with one line per mistake: the parameter, what was found, what is allowed; or the forbidden
                combination.
        """
        return checked(self, parameters, partial)

    # -- many points --------------------------------------------------------------------------------------------

    def activity(self, points: Points) -> Mask:
        """Return which entries of `points`, shape (n, d), are of active parameters; the others may be anything."""
        return self._vectors.active(points)

    def snap(self, points: Points) -> Points:
        """Return ``encode(decode(u))`` of each row of `points`, shape (n, d).

        Discrete parameters come to lie in the middle of their cells, continuous ones stay where they are, inactive
        ones become NaN.

        Raises:
            ValueError: NaN where a parameter is active.
        """
        return self._vectors.snap(points)

    def permitted(self, points: Points) -> Mask:
        """Return for each row of `points`, shape (n, d), whether its configuration is allowed: shape (n,)."""
        return self._vectors.permitted(points)

    def prior_log_density(self, points: Points) -> NDArray[np.float64]:
        """Return the logarithm of the prior's density at each row of `points`, shape (n, d): shape (n,).

        The density over the unit intervals of the active parameters; the uniform one is 1, its logarithm 0.
        """
        found = np.zeros(len(points))
        if not self.priors:
            return found
        active = self.activity(points) if self.conditions else None
        for column, parameter in enumerate(self.dimensions):
            prior = self.priors.get(parameter.name)
            if prior is not None:
                density = prior.log_density(np.clip(points[:, column], 0.0, 1.0))
                found += density if active is None else np.where(active[:, column], density, 0.0)
        return found

    def from_prior(self, points: Points) -> Points:
        """Return uniform draws, shape (n, d), as draws of the prior; the same where there is none."""
        found: Points = np.array(points, dtype=np.float64)
        for column, parameter in enumerate(self.dimensions):
            if parameter.name in self.priors:
                found[:, column] = self.priors[parameter.name].quantile(found[:, column])
        return found

    # -- compiled once ------------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All names, parents before their children; else as in the study file."""
        return tuple(in_order(self.names, self.conditions))

    @cached_property
    def _plan(self) -> tuple[tuple[Parameter, int | None, Clause | None], ...]:
        columns = {p.name: column for column, p in enumerate(self.dimensions)}
        by_name = {p.name: p for p in self.parameters}
        return tuple((by_name[n], columns.get(n), self.conditions.get(n)) for n in self.order)

    @cached_property
    def _vectors(self) -> Vectors:
        return Vectors(self.parameters, self.order, self.conditions, self.forbidden)

    @cached_property
    def _enumeration(self) -> Enumeration | None:
        return Enumeration.of(self.parameters, self.order, self.conditions, self.forbidden)


def _kind(parameter: Parameter) -> str:
    if not isinstance(parameter, CategoricalParameter):
        return "number"
    return "ordered" if isinstance(parameter, OrdinalParameter) else "category"
