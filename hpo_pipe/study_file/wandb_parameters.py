"""The parameters of a W&B sweep: nested ones by their path, each by its distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hpo_pipe.options import mistake, together, unknown_names
from hpo_pipe.study_file.wandb_distributions import NEVER, READERS, is_number
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest

_KNOWN = ("value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "distribution", "parameters")
_NUMBERS = ("min", "max", "mu", "sigma")


def read_parameters(found: Json, where: str) -> tuple[dict[str, Json], list[str]]:
    """Return the ``[parameters]`` table that a sweep's parameters amount to, and notes for the user.

    Raises:
        StudyFileError: with one line for each parameter that is wrong.
    """
    if not isinstance(found, Mapping) or not found:
        raise mistake(where, "parameters", found, "a table with one entry per parameter")
    read: dict[str, Json] = {}
    notes: list[str] = []
    mistakes: list[StudyFileError] = []
    for name, key, given in _flat(found, "", "parameters"):
        try:
            if name in read:
                raise StudyFileError(f"{where}: {key} is there twice, expected different names")
            read[name], said = _parameter(given, where, key)
            notes += [f"parameters.{name}: {said}"] if said else []
        except StudyFileError as error:
            mistakes.append(error)
    together(mistakes)
    if nested := [name for name in read if name not in found]:
        notes.insert(0, f"nested parameters are named by their path, as in --{nested[0]}=...")
    return read, notes


def _flat(found: Mapping[str, Json], path: str, key: str) -> Iterator[tuple[str, str, Json]]:
    """Yield name, key and table of all parameters, nested ones as ``optimizer.lr``."""
    for name, given in found.items():
        inner = given.get("parameters") if isinstance(given, Mapping) and len(given) == 1 else None
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{path}{name}.", f"{key}.{name}.parameters")
        else:
            yield f"{path}{name}", f"{key}.{name}", given


def _parameter(given: Json, where: str, key: str) -> tuple[Json, str]:
    """Return a parameter's table, and what the user should know."""
    if not isinstance(given, Mapping):
        raise mistake(where, key, given, "a table with value, values, or min and max")
    if lines := unknown_names(given, _KNOWN, where, key):
        raise StudyFileError("\n".join(lines))
    if "parameters" in given:
        raise mistake(
            where, f"{key}.parameters", given["parameters"], "a table of parameters, and nothing beside it"
        )
    kind = given["distribution"] if "distribution" in given else _guessed(given, where, key)
    if not isinstance(kind, str) or kind not in READERS:
        guess = nearest(kind, READERS) if isinstance(kind, str) and kind not in NEVER else ""
        raise mistake(where, f"{key}.distribution", kind, f"one of {', '.join(READERS)}{guess}")
    needed, read = READERS[kind]
    for name in needed:
        if name not in given:
            raise StudyFileError(f"{where}: {key}.{name} is missing, {kind} needs it")
    for name in _NUMBERS:
        if name in given and not is_number(given[name]):
            raise mistake(where, f"{key}.{name}", given[name], "a number")
    for name in ("q", "sigma"):
        if not is_number(given.get(name, 1)) or given.get(name, 1) <= 0:
            raise mistake(where, f"{key}.{name}", given[name], "a number greater than 0")
    try:
        return read(given)
    except (OverflowError, ValueError) as error:
        raise StudyFileError(f"{where}: {key}: {error}") from None


def _guessed(given: Mapping[str, Json], where: str, key: str) -> str:
    """Return the distribution that W&B takes where none is named."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    if "min" in given and "max" in given:
        whole = all(isinstance(given[name], int) for name in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    raise StudyFileError(f"{where}: {key} has none of value, values, or min and max")
