"""When models are fitted anew, and on which of many rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def last_refit(number: int) -> int:
    """Return the newest number, up to `number`, of a trial for which hyper-parameters are fitted.

    Every one up to 31, every 2nd up to 63, every 4th up to 127, and so on: sixteen fits while a study doubles.
    """
    step = max(1, 1 << max(number.bit_length() - 5, 0))
    return number // step * step


def chosen(order: Integers, cap: int) -> Integers:
    """Return at most `cap` of some rows, ascending: half are the best, a quarter the newest, the rest spread evenly.

    Args:
        order: the rows' numbers, best first; a greater number is a newer row. Shape (n,).
        cap: how many.
    """
    if len(order) <= cap:
        return np.sort(order)
    best = order[: cap // 2]
    others = np.sort(order[cap // 2 :])
    newest = others[len(others) - cap // 4 :]
    rest = others[: len(others) - cap // 4]
    count = min(cap - len(best) - len(newest), len(rest))
    spread = rest[np.arange(count) * len(rest) // max(count, 1)]
    return np.sort(np.concatenate([best, newest, spread]))
