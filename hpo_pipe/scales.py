"""Scales: how the range of a number is laid out over the unit interval, and cells of the discrete ones.

==============  ==========================  =====================================================
scale           even steps in               for
==============  ==========================  =====================================================
``linear``      x                           anything of one order of magnitude
``log``         ln x                        learning rates, weight decays: x > 0
``reverse-log`` -ln(1 - x)                  what creeps up on 1, as momentum and discounts: x < 1
``logit``       ln(x / (1 - x))             shares that may creep up on 0 and on 1: 0 < x < 1
==============  ==========================  =====================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable

SCALES = ("linear", "log", "reverse-log", "logit")
_DIGITS = ".12g"
_NUDGES = 4
"""Neighbouring doubles that are tried on either side, to undo the rounding of a linear scale."""


def at_share(u: float, low: float, high: float, scale: str) -> float:
    """Return the number at `u` in [0, 1] of the range [low, high]; never falls as `u` rises."""
    if scale == "linear":
        return min(max(low + u * (high - low), low), high)
    if u <= 0.0 or u >= 1.0:
        return low if u <= 0.0 else high
    forth, back = _WARPS[scale]
    bottom, top = forth(low), forth(high)
    # exp and log differ in the last bit between C libraries: 12 digits make all machines agree
    return min(max(float(f"{back(bottom + u * (top - bottom)):{_DIGITS}}"), low), high)


def share_of(value: float, low: float, high: float, scale: str) -> float:
    """Return where `value` lies in [low, high]: the inverse of :func:`at_share`, bit for bit where it has one."""
    if value <= low or value >= high:
        return 0.0 if value <= low else 1.0
    if scale != "linear":
        forth, _ = _WARPS[scale]
        bottom, top = forth(low), forth(high)
        return clipped((forth(value) - bottom) / (top - bottom))
    u = clipped((value - low) / (high - low))
    below = above = u
    for _ in range(_NUDGES):
        if at_share(below, low, high, scale) == value:
            return below
        if at_share(above, low, high, scale) == value:
            return above
        below, above = math.nextafter(below, 0.0), math.nextafter(above, 1.0)
    return u


def span(low: float, high: float, scale: str) -> float:
    """Return how many factors of e the range [low, high] spans on a scale that is not linear: of x, 1 - x or odds."""
    forth, _ = _WARPS[scale]
    return forth(high) - forth(low)


def cell(u: float, size: int, log: bool, low: float, step: float) -> int:
    """Return the number of the cell that holds `u`, of `size` steps from `low` on."""
    if not log or size == 1:
        return min(max(math.floor(u * size), 0), size - 1)
    bottom, top = widened(size, low, step)
    index = math.floor((math.exp(bottom + u * (top - bottom)) - low) / step + 0.5)
    return min(max(index, 0), size - 1)


def middle(index: int, size: int, log: bool, low: float, step: float) -> float:
    """Return where value number `index` lies: the middle of its cell; on a log scale, the value itself."""
    index = min(max(index, 0), size - 1)
    if not log or size == 1:
        return (index + 0.5) / size
    bottom, top = widened(size, low, step)
    return clipped((math.log(low + index * step) - bottom) / (top - bottom))


def widened(size: int, low: float, step: float) -> tuple[float, float]:
    """Return the logarithms of a discrete range widened by half a step at both ends: no end value is cut in half."""
    return math.log(low - step / 2), math.log(low + (size - 1) * step + step / 2)


def clipped(u: float) -> float:
    """Return `u` in [0, 1]."""
    return min(max(u, 0.0), 1.0)


_WARPS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "log": (math.log, math.exp),
    "reverse-log": (lambda x: -math.log1p(-x), lambda z: -math.expm1(-z)),
    "logit": (lambda x: math.log(x / (1.0 - x)), lambda z: 1.0 / (1.0 + math.exp(-z))),
}
