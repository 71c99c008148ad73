"""The one way in which tests wait for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE_S = 0.02


def wait_until(condition: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Return the first true value of `condition`, asked again and again; fail naming `what` after `timeout_s`.

    A callable `what` is asked when the time is over: it may say how things stand then.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {timeout_s:g} s in vain for: {said}")
        time.sleep(PAUSE_S)
