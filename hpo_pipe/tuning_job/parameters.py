"""ParameterRanges, StaticHyperParameters and AutoParameters as a ``[parameters]`` table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from hpo_pipe.key_path import Path
from hpo_pipe.parameters import MAX_INTEGER
from hpo_pipe.space_reading import PARAMETER_NAME
from hpo_pipe.study_file.program import looks_secret
from hpo_pipe.tuning_job.request import Request
from storage_schema.codec import Json

LOG_FROM = 100
"""Where ScalingType is Auto: ranges whose ends differ by this factor are searched on a log scale."""
HINT_FACTOR = 10
"""How far the range around an AutoParameter's hint reaches, up and down."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,6})?")
_OF_THE_TOOLKIT = "sagemaker_"
_OF_THE_SERVICE = "_tuning_objective_metric"

_Table = dict[str, Json]
_Reader = Callable[[Request, Path, Json], _Table]


def read_ranges(request: Request, base: Path, grid: bool) -> dict[str, _Table]:
    """Return a table for each range at `base`; mistakes are noted in `request`.

    Args:
        request: what is read.
        base: where the ParameterRanges are.
        grid: whether the strategy is Grid, which knows listed values only.
    """
    tables: dict[str, _Table] = {}
    for kind, read in _READERS.items():
        for place, item in enumerate(request.at(*base, kind) or []):
            path = (*base, kind, place)
            request.take(*path)
            if grid and kind != "CategoricalParameterRanges":
                request.refuse(
                    path, item["Name"], "no range of numbers: the strategy Grid takes categories only"
                )
            if _named(request, (*path, "Name"), item["Name"], tables):
                tables[item["Name"]] = read(request, path, item)
    automatic = [name for name in tables if tables[name].pop("auto", False)]
    if automatic:
        request.notes.append(
            f"ScalingType Auto: {', '.join(automatic)}: on a log scale where the ends differ by a factor of "
            f"{LOG_FROM} or more, else linear"
        )
    return tables


def read_constants(request: Request, base: Path, ranges: dict[str, _Table]) -> dict[str, str]:
    """Return the static hyper-parameters at `base`, without what is meant for SageMaker itself."""
    found: dict[str, str] = {}
    for name, text in (request.at(*base) or {}).items():
        path = (*base, name)
        if name.startswith(_OF_THE_TOOLKIT):
            request.leave(path, "a setting of SageMaker's training toolkit, not of the training")
        elif name == _OF_THE_SERVICE:
            request.leave(path, "SageMaker's own way to name the objective")
        elif looks_secret(name, plain_text(text)):
            request.leave(path, "it looks like a secret; set a variable where the workers are started")
        elif _named(request, path, name, ranges):
            request.take(*path)
            found[name] = plain_text(text)
    return found


def plain_text(text: str) -> str:
    r"""Return what a script gets for `text`: SageMaker's SDK writes strings as JSON, as in ``"\\"adam\\""``."""
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str) else text


def whole_number(text: str) -> int | None:
    """Return an integer, or None where `text` is none."""
    return int(text) if _WHOLE.fullmatch(text) else None


def real_number(text: str) -> float | None:
    """Return a finite number, or None where `text` is none."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _named(request: Request, path: Path, name: str, others: dict[str, _Table]) -> bool:
    if name in others:
        request.refuse(path, name, "different names")
        return False
    if not PARAMETER_NAME.fullmatch(name):
        allowed = "a name of 1 to 100 letters, digits, and _ . - /, starting with a letter or _"
        request.refuse(path, name, allowed)
        return False
    return True


def _integer(request: Request, path: Path, item: Json) -> _Table:
    low, high = (whole_number(item[end]) for end in ("MinValue", "MaxValue"))
    for end, value in (("MinValue", low), ("MaxValue", high)):
        if value is None or abs(value) > MAX_INTEGER:
            request.refuse((*path, end), item[end], "an integer up to 2^53, as text")
            return {}
    assert low is not None and high is not None
    if item.get("ScalingType") == "ReverseLogarithmic":
        allowed = "Auto, Linear or Logarithmic: ReverseLogarithmic is for numbers from 0 to less than 1"
        request.refuse((*path, "ScalingType"), item["ScalingType"], allowed)
        return {}
    return {"type": "int", "min": low, "max": high} | _scale(request, path, item, low, high)


def _continuous(request: Request, path: Path, item: Json) -> _Table:
    low, high = (real_number(item[end]) for end in ("MinValue", "MaxValue"))
    for end, value in (("MinValue", low), ("MaxValue", high)):
        if value is None:
            request.refuse((*path, end), item[end], "a finite number, as text")
            return {}
    assert low is not None and high is not None
    if not math.isfinite(high - low):
        request.refuse((*path, "MaxValue"), item["MaxValue"], "a range that a double can hold")
    return {"type": "float", "min": low, "max": high} | _scale(request, path, item, low, high)


def _scale(request: Request, path: Path, item: Json, low: float, high: float) -> _Table:
    """Return the scale that a ScalingType stands for, and whether it was left to us."""
    kind = item.get("ScalingType", "Auto")
    if low > high:
        request.refuse((*path, "MaxValue"), item["MaxValue"], f"at least MinValue ({item['MinValue']})")
    elif kind == "Auto":
        return {"auto": True} | ({"log": True} if low > 0 and high / low >= LOG_FROM else {})
    elif kind == "Logarithmic":
        if low <= 0:
            request.refuse(
                (*path, "MinValue"), item["MinValue"], "more than 0, for ScalingType is Logarithmic"
            )
        return {"log": True}
    elif kind == "ReverseLogarithmic":
        if low < 0 or high >= 1:
            end = "MinValue" if low < 0 else "MaxValue"
            allowed = "from 0 to less than 1, for ScalingType is ReverseLogarithmic"
            request.refuse((*path, end), item[end], allowed)
        return {"scale": "reverse-log"}
    return {}


def _categorical(request: Request, path: Path, item: Json) -> _Table:
    values = [plain_text(text) for text in item["Values"]]
    if len(set(values)) < len(values):
        request.refuse((*path, "Values"), item["Values"], "different values")
    return {"type": "categorical", "values": values}


def _auto(request: Request, path: Path, item: Json) -> _Table:
    """Return a range around a hint: SageMaker chooses one itself, and does not say how."""
    name, hint = item["Name"], item["ValueHint"]
    number = whole_number(hint)
    value: float | None = number if number is not None and abs(number) * HINT_FACTOR <= MAX_INTEGER else None
    value = real_number(hint) if value is None else value
    if not value or not 1e-300 < abs(value) < 1e300:
        request.notes.append(f"parameters.{name}: no range can be told from the hint {hint!r}: a constant")
        return {"type": "constant", "value": plain_text(hint)}
    kind = "int" if isinstance(value, int) else "float"
    near: float = max(1, abs(value) // HINT_FACTOR) if kind == "int" else abs(value) / HINT_FACTOR
    far = abs(value) * HINT_FACTOR
    low, high = (near, far) if value > 0 else (-far, -near)
    request.notes.append(
        f"parameters.{name}: SageMaker chooses the range around the hint {hint} itself; here it is {low:g} to "
        f"{high:g}, with a prior at the hint; set what you know"
    )
    scale = {"log": True} if value > 0 else {}
    prior = {"value": value, "confidence": "medium"}
    return {"type": kind, "min": low, "max": high, **scale, "prior": prior}


_READERS: dict[str, _Reader] = {
    "IntegerParameterRanges": _integer,
    "ContinuousParameterRanges": _continuous,
    "CategoricalParameterRanges": _categorical,
    "AutoParameters": _auto,
}
