"""W&B's distributions as ranges, scales and priors. Each reader returns a parameter's table, and a note or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from storage_schema.codec import Json

NEVER = ("beta", "q_beta")
"""W&B has them, and nothing else is meant by these names."""
MAX_EXPONENT = 700
"""exp of more is no double."""
SIGMAS = 4
"""Where normal distributions are cut off: 1 draw in 16,000 lies beyond."""
_Table = dict[str, Json]


def _steps(given: Mapping[str, Json], log: bool = False) -> _Table:
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


def _between(given: Mapping[str, Json]) -> _Table:
    return {"type": "float", "min": given["min"], "max": given["max"]}


def _logs(given: Mapping[str, Json]) -> _Table:
    return {**_between(given), "log": True}


def _exponents(given: Mapping[str, Json], sign: int = 1) -> dict[str, Json]:
    """Return the range whose natural logarithms min and max are: W&B's log_uniform; of 1/x with `sign` -1."""
    if max(abs(given["min"]), abs(given["max"])) > MAX_EXPONENT:
        raise ValueError(
            "min and max are natural logarithms in log_uniform; log_uniform_values takes the values"
        )
    low, high = (given["min"], given["max"]) if sign > 0 else (-given["max"], -given["min"])
    return {**given, "min": math.exp(low), "max": math.exp(high)}


def _categorical(given: Mapping[str, Json]) -> tuple[_Table, str]:
    values, weights = given["values"], given.get("probabilities")
    if not isinstance(weights, list) or not isinstance(values, list) or len(weights) != len(values):
        stated = {} if weights is None else {"probabilities": weights}
        return {"type": "categorical", "values": values, **stated}, ""
    drawn = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight != 0]
    left_out = [value for value, weight in zip(values, weights, strict=True) if weight == 0]
    note = f"values of probability 0 are left out: {', '.join(map(repr, left_out))}" if left_out else ""
    return {
        "type": "categorical",
        "values": [value for value, _ in drawn],
        "probabilities": [weight for _, weight in drawn],
    }, note


def _normal(given: Mapping[str, Json], log: bool = False) -> tuple[_Table, str]:
    """Return x, or ln x, normal around mu, cut off; rounded to multiples of q, if there is a q."""
    mu, sigma = float(given.get("mu", 0)), float(given.get("sigma", 1))
    edges = {"min": mu - SIGMAS * sigma, "max": mu + SIGMAS * sigma}
    if log and max(map(abs, edges.values())) > MAX_EXPONENT:
        raise ValueError("mu and sigma are those of the natural logarithm, and these are too large")
    bounds = {name: math.exp(edge) for name, edge in edges.items()} if log else edges
    centre = math.exp(mu) if log else mu
    note = f"{'log_normal' if log else 'normal'}: cut off at {SIGMAS} sigma"
    if "q" not in given:
        table = _logs(bounds) if log else _between(bounds)
        width = edges["max"] - edges["min"]
        return {**table, "prior": {"value": centre, "confidence": round(1 - sigma / width, 6)}}, note
    table = _steps({**bounds, "q": given["q"]}, log)
    q = table["step"]
    low, high = table["min"] - q / 2, table["max"] + q / 2  # as the unit interval has it
    width = math.log(high / low) if log else high - low
    if table["min"] == table["max"]:
        return table, note
    steps = round((min(max(centre, table["min"]), table["max"]) - table["min"]) / q)
    nearest = Decimal(repr(table["min"])) + steps * Decimal(repr(q))
    value = int(nearest) if isinstance(q, int) else float(nearest)
    confidence = round(1 - sigma / width, 6)
    return {**table, "prior": {"value": value, "confidence": confidence}}, f"{note}, and centred on {value}"


def is_number(value: Json) -> bool:
    """Tell whether `value` is a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Reader = Callable[[Mapping[str, Json]], tuple[Json, str]]


def _quiet(read: Callable[[Mapping[str, Json]], Json]) -> _Reader:
    return lambda given: (read(given), "")


_RANGE = ("min", "max")
READERS: dict[str, tuple[tuple[str, ...], _Reader]] = {
    "constant": (("value",), _quiet(lambda given: {"type": "constant", "value": given["value"]})),
    "categorical": (("values",), _categorical),
    "categorical_w_probabilities": (("values", "probabilities"), _categorical),
    "int_uniform": (_RANGE, _quiet(lambda given: {"type": "int", "min": given["min"], "max": given["max"]})),
    "uniform": (_RANGE, _quiet(_between)),
    "q_uniform": (_RANGE, _quiet(_steps)),
    "log_uniform": (_RANGE, _quiet(lambda given: _logs(_exponents(given)))),
    "log_uniform_values": (_RANGE, _quiet(_logs)),
    "inv_log_uniform": (_RANGE, _quiet(lambda given: _logs(_exponents(given, -1)))),
    "inv_log_uniform_values": (_RANGE, _quiet(_logs)),  # 1/x is log-uniform exactly where x is
    "q_log_uniform": (_RANGE, _quiet(lambda given: _steps(_exponents(given), log=True))),
    "q_log_uniform_values": (_RANGE, _quiet(lambda given: _steps(given, log=True))),
    "normal": ((), lambda given: _normal({n: v for n, v in given.items() if n != "q"})),
    "q_normal": ((), lambda given: _normal({"q": 1, **given})),
    "log_normal": ((), lambda given: _normal({n: v for n, v in given.items() if n != "q"}, log=True)),
    "q_log_normal": ((), lambda given: _normal({"q": 1, **given}, log=True)),
}
"""By name: what must be given, and the reader."""
