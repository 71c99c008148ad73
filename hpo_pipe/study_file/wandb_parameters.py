"""The parameters of a W&B sweep, distribution by distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from hpo_pipe.options import mistake, unknown_names
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest

_KNOWN = ("value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "distribution", "parameters")
_NEVER = (  # W&B has them; no other name is what is meant
    "normal",
    "q_normal",
    "log_normal",
    "q_log_normal",
    "inv_log_uniform",
    "inv_log_uniform_values",
    "beta",
    "q_beta",
    "categorical_w_probabilities",
)


MAX_EXPONENT = 700
"""exp of more is no double."""


def read_parameters(found: Json, where: str) -> dict[str, Json]:
    """Return the ``[parameters]`` table that a sweep's parameters amount to.

    Raises:
        StudyFileError: with one line for each parameter that is wrong.
    """
    if not isinstance(found, Mapping) or not found:
        raise mistake(where, "parameters", found, "a table with one entry per parameter")
    read: dict[str, Json] = {}
    lines: list[str] = []
    for name, given in found.items():
        try:
            read[str(name)] = _parameter(given, where, f"parameters.{name}")
        except StudyFileError as error:
            lines.append(str(error))
    if lines:
        raise StudyFileError("\n".join(lines))
    return read


def _parameter(given: Json, where: str, key: str) -> Json:
    if not isinstance(given, Mapping):
        raise mistake(where, key, given, "a table with value, values, or min and max")
    if lines := unknown_names(given, _KNOWN, where, key):
        raise StudyFileError("\n".join(lines))
    for later, what in (("parameters", "nested parameters"), ("probabilities", "probabilities of values")):
        if later in given:
            raise StudyFileError(f"{where}: {key}.{later}: {what} are not part of this version of hpo-pipe")
    kind = given["distribution"] if "distribution" in given else _guessed(given, where, key)
    if not isinstance(kind, str) or kind not in _READERS:
        guess = nearest(kind, _READERS) if isinstance(kind, str) and kind not in _NEVER else ""
        raise mistake(where, f"{key}.distribution", kind, f"one of {', '.join(_READERS)}{guess}")
    needed, read = _READERS[kind]
    for name in needed:
        if name not in given:
            raise StudyFileError(f"{where}: {key}.{name} is missing, {kind} needs it")
        if name in ("min", "max") and not _is_number(given[name]):
            raise mistake(where, f"{key}.{name}", given[name], "a number")
    if not _is_number(given.get("q", 1)) or given.get("q", 1) <= 0:
        raise mistake(where, f"{key}.q", given["q"], "a number greater than 0")
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


def _steps(given: Mapping[str, Json], log: bool = False) -> Json:
    """Return the multiples of q in [min, max]: W&B rounds to them, and so does not count them from min."""
    q = given.get("q", 1)
    step, low, high = (Decimal(repr(number)) for number in (q, given["min"], given["max"]))
    first, last = math.ceil(low / step) * step, math.floor(high / step) * step
    if first > last or (log and first <= 0):
        raise ValueError(f"no multiple of q ({q}) lies between min and max")
    number = int if isinstance(q, int) else float
    table = {
        "type": "int" if isinstance(q, int) else "float",
        "min": number(first),
        "max": number(last),
        "step": q,
    }
    return {**table, "log": True} if log else table


def _between(given: Mapping[str, Json]) -> Json:
    return {"type": "float", "min": given["min"], "max": given["max"]}


def _exponents(given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the range whose natural logarithms min and max are: W&B's log_uniform."""
    if max(abs(given["min"]), abs(given["max"])) > MAX_EXPONENT:
        raise ValueError(
            "min and max are natural logarithms in log_uniform; log_uniform_values takes the values"
        )
    return {**given, "min": math.exp(given["min"]), "max": math.exp(given["max"])}


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_RANGE = ("min", "max")
_READERS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Json]], Json]]] = {
    "constant": (("value",), lambda given: {"type": "constant", "value": given["value"]}),
    "categorical": (("values",), lambda given: {"type": "categorical", "values": given["values"]}),
    "int_uniform": (_RANGE, lambda given: {"type": "int", "min": given["min"], "max": given["max"]}),
    "uniform": (_RANGE, _between),
    "q_uniform": (_RANGE, _steps),
    "log_uniform": (_RANGE, lambda given: {**_between(_exponents(given)), "log": True}),
    "log_uniform_values": (_RANGE, lambda given: {**_between(given), "log": True}),
    "q_log_uniform": (_RANGE, lambda given: _steps(_exponents(given), log=True)),
    "q_log_uniform_values": (_RANGE, lambda given: _steps(given, log=True)),
}
