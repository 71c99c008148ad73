"""The search space: parameters by name, and their place in the unit cube."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.choices import CategoricalParameter, ConstantParameter, OrdinalParameter
from hpo_pipe.options import Refused, dotted, mistake, read_options, together
from hpo_pipe.parameters import FloatParameter, IntParameter, Parameter
from storage_schema.codec import Json, encode, sha256
from storage_schema.errors import StudyFileError, UserError, nearest

MAX_PARAMETERS = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]{0,99}")
_LATER = {
    "when": "conditional parameters",
    "condition": "conditional parameters",
    "prior": "priors",
    "probabilities": "probabilities of values",
    "forbidden": "forbidden combinations",
}


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched. ``d`` is the number of free parameters; vectors are in their order."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def from_json(cls, value: Sequence[Json], where: str = "study.json") -> Space:
        """Read a list of parameters, each ``{"name": ..., "type": ..., ...}``.

        Raises:
            StudyFileError: with one line per parameter that is wrong.
        """
        parameters: list[Parameter] = []
        mistakes: list[StudyFileError] = []
        for item in value:
            try:
                parameters.append(_parameter(item, where))
            except StudyFileError as error:
                mistakes.append(error)
        names = [p.name for p in parameters]
        mistakes += [
            StudyFileError(f"{where}: parameters.{name} is there twice, expected different names")
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        if not mistakes and not 1 <= len(parameters) <= MAX_PARAMETERS:
            allowed = f"1 to {MAX_PARAMETERS} parameters"
            mistakes.append(StudyFileError(f"{where}: parameters has {len(parameters)}, expected {allowed}"))
        together(mistakes)
        return cls(tuple(parameters))

    def to_json(self) -> list[Json]:
        """Return what :meth:`from_json` reads."""
        return [parameter.to_json() for parameter in self.parameters]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the study file."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def dimensions(self) -> tuple[Parameter, ...]:
        """The free parameters: those with more than one value."""
        return tuple(parameter for parameter in self.parameters if parameter.size != 1)

    @property
    def size(self) -> int | None:
        """How many configurations there are; None where they are not countable."""
        product = 1
        for parameter in self.parameters:
            if parameter.size is None:
                return None
            product *= parameter.size
        return product

    def decode(self, u: NDArray[np.float64]) -> dict[str, Json]:
        """Return the configuration at `u`, shape (d,), in [0, 1]."""
        places = iter(u.tolist())
        return {p.name: p.decode(0.5 if p.size == 1 else next(places)) for p in self.parameters}

    def encode(self, parameters: Mapping[str, Json]) -> NDArray[np.float64]:
        """Return where a configuration lies, shape (d,), in [0, 1]."""
        return np.array([p.encode(parameters[p.name]) for p in self.dimensions], dtype=np.float64)

    def configuration(self, index: int) -> dict[str, Json]:
        """Return configuration `index` (0 to size - 1) of a countable space; the last parameter is fastest."""
        found: dict[str, Json] = {}
        for parameter in reversed(self.parameters):
            assert parameter.size is not None, "only a countable space has numbered configurations"
            index, place = divmod(index, parameter.size)
            found[parameter.name] = parameter.at(place)
        return {name: found[name] for name in self.names}

    def identity(self, parameters: Mapping[str, Json]) -> str:
        """Return the SHA-256 of the configuration's canonical JSON: equal for equal configurations."""
        return sha256(encode(dict(parameters)))

    def check(self, parameters: Mapping[str, Json], partial: bool = False) -> dict[str, Json]:
        """Return a user's configuration as a trial will see it, in the order of the space.

        Args:
            parameters: name to value, typed as given: "0.1" is a string, not a number.
            partial: free parameters may be missing, and then constants are not filled in either.

        Raises:
            UserError: with one line per mistake: the parameter, what was found, what is allowed.
        """
        names = ", ".join(self.names)
        lines = [
            f"parameter {name} is not known{nearest(str(name), self.names)}, allowed: {names}"
            for name in parameters
            if name not in self.names
        ]
        found: dict[str, Json] = {}
        for parameter in self.parameters:
            try:
                if parameter.name in parameters:
                    found[parameter.name] = parameter.checked(parameters[parameter.name])
                elif not partial and parameter.size == 1:
                    found[parameter.name] = parameter.at(0)
                elif not partial:
                    lines.append(f"parameter {parameter.name} is missing")
            except Refused as refused:
                lines.append(f"parameter {refused}")
        if lines:
            raise UserError("\n".join(lines))
        return found


def _parameter(item: Json, where: str) -> Parameter:
    if not isinstance(item, Mapping):
        raise mistake(where, "parameters", item, "tables with name and type")
    options = dict(item)
    name = options.pop("name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = "a name of 1 to 100 letters, digits, and _ . - /, starting with a letter or _"
        raise mistake(where, f"parameters.{name}", name, allowed)
    key = f"parameters.{name}"
    for later, what in _LATER.items():
        if later in options:  # joints that are not there yet: never half understood
            raise StudyFileError(
                f"{where}: {dotted(key, later)}: {what} are not part of this version of hpo-pipe"
            )
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in _CLASSES:
        guess = nearest(str(kind), _CLASSES) if kind is not None else ""
        found = "missing" if kind is None else repr(kind)
        raise StudyFileError(f"{where}: {key}.type is {found}, expected {' or '.join(_CLASSES)}{guess}")
    if kind == "bool":
        options.setdefault("values", [False, True])
    parameter: Parameter = read_options(_CLASSES[kind], {"name": name, **options}, where, key)
    return parameter


_CLASSES: dict[str, type[Any]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "categorical": CategoricalParameter,
    "ordinal": OrdinalParameter,
    "bool": CategoricalParameter,
    "constant": ConstantParameter,
}
