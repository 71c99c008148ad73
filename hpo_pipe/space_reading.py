"""From the JSON of a space to its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hpo_pipe.choices import CategoricalParameter, ConstantParameter, OrdinalParameter
from hpo_pipe.conditions import Clause, in_order, read_clause
from hpo_pipe.options import mistake, read_options, together, unknown_names
from hpo_pipe.parameters import FloatParameter, IntParameter, Parameter
from hpo_pipe.priors import Prior, read_prior
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest

MAX_PARAMETERS = 1000
MAX_FORBIDDEN = 1000
BESIDE = ("when", "prior", "probabilities")
"""What every type of parameter may have beside its own fields."""
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]{0,99}")
_T = TypeVar("_T")

Parts = tuple[tuple[Parameter, ...], dict[str, Clause], dict[str, Prior], tuple[Clause, ...]]
"""Parameters, conditions, priors, forbidden combinations."""


def read_space(value: Sequence[Json], constraints: Json, where: str) -> Parts:
    """Read parameters and constraints.

    Args:
        value: a table per parameter.
        constraints: ``{"forbidden": [...]}``, or nothing.
        where: the file, for errors.

    Raises:
        StudyFileError: with one line for each mistake.
    """
    mistakes: list[StudyFileError] = []

    def attempt(read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except StudyFileError as error:
            mistakes.append(error)
            return None

    read = [attempt(lambda item=item: _parameter(item, where)) for item in value]  # type: ignore[misc]
    parameters = tuple(p for p in read if p is not None)
    mistakes += _wrong_names(parameters, where, counted=not mistakes)
    together(mistakes)
    by_name = {p.name: p for p in parameters}
    conditions: dict[str, Clause] = {}
    priors: dict[str, Prior] = {}
    for item, parameter in zip(value, parameters, strict=True):
        key = f"parameters.{parameter.name}"
        if item.get("when") is not None:
            clause = attempt(lambda: read_clause(item["when"], by_name, where, f"{key}.when"))  # noqa: B023
            if clause is not None:
                conditions[parameter.name] = clause
        prior = attempt(lambda: read_prior(dict(item), parameter, where, key))  # noqa: B023
        if prior is not None:
            priors[parameter.name] = prior
    forbidden = attempt(lambda: _forbidden(constraints, by_name, where)) or ()
    together(mistakes)
    circle = in_order(tuple(by_name), conditions)
    if isinstance(circle, list):
        path = " on ".join([*circle, circle[0]])
        raise StudyFileError(
            f"{where}: parameters.{circle[0]}.when: {path} depend in a circle, expected none"
        )
    return parameters, conditions, priors, forbidden


def _wrong_names(parameters: Sequence[Parameter], where: str, counted: bool) -> list[StudyFileError]:
    names = [p.name for p in parameters]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    found = [
        StudyFileError(f"{where}: parameters.{name} is there twice, expected different names")
        for name in twice
    ]
    if counted and not 1 <= len(names) <= MAX_PARAMETERS:
        allowed = f"1 to {MAX_PARAMETERS} parameters"
        found.append(StudyFileError(f"{where}: parameters has {len(names)}, expected {allowed}"))
    return found


def _parameter(item: Json, where: str) -> Parameter:
    if not isinstance(item, Mapping):
        raise mistake(where, "parameters", item, "tables with name and type")
    options = {name: found for name, found in item.items() if name not in BESIDE}
    name = options.pop("name", None)
    if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name):
        allowed = "a name of 1 to 100 letters, digits, and _ . - /, starting with a letter or _"
        raise mistake(where, f"parameters.{name}", name, allowed)
    key = f"parameters.{name}"
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in _CLASSES:
        guess = nearest(str(kind), _CLASSES) if kind is not None else ""
        found = "missing" if kind is None else repr(kind)
        raise StudyFileError(f"{where}: {key}.type is {found}, expected {' or '.join(_CLASSES)}{guess}")
    if kind == "bool":
        options.setdefault("values", [False, True])
    parameter: Parameter = read_options(_CLASSES[kind], {"name": name, **options}, where, key)
    return parameter


def _forbidden(constraints: Json, parameters: Mapping[str, Parameter], where: str) -> tuple[Clause, ...]:
    if constraints is None:
        return ()
    if not isinstance(constraints, Mapping):
        raise mistake(where, "constraints", constraints, "a table")
    if lines := unknown_names(constraints, ("forbidden",), where, "constraints"):
        raise StudyFileError("\n".join(lines))
    found = constraints.get("forbidden", [])
    if not isinstance(found, list | tuple) or len(found) > MAX_FORBIDDEN:
        raise mistake(
            where, "forbidden", found, f"at most {MAX_FORBIDDEN} tables of parameters: [[forbidden]]"
        )
    clauses: list[Clause] = []
    mistakes: list[StudyFileError] = []
    for place, item in enumerate(found):
        try:
            clauses.append(read_clause(item, parameters, where, f"forbidden[{place}]"))
        except StudyFileError as error:
            mistakes.append(error)
    together(mistakes)
    return tuple(clauses)


_CLASSES: dict[str, type[Any]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "categorical": CategoricalParameter,
    "ordinal": OrdinalParameter,
    "bool": CategoricalParameter,
    "constant": ConstantParameter,
}
