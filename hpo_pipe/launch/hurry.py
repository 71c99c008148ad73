"""Asking providers with a deadline: a function in the cloud is ended in the midst of what it does when its time is up.

Within :func:`asking_until` the clients of :mod:`~hpo_pipe.launch.aws` wait less for each answer, and ask nothing once
the time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hpo_pipe.launch.target import TargetUnavailable

REQUEST_S = 27.0
"""The longest that one request takes within :func:`asking_until`, its second try and the pause before it included."""
CONNECT_S = 3.0
READ_S = 10.0
"""A fleet of EC2 takes seconds to be made."""

_left: ContextVar[Callable[[], float] | None] = ContextVar("left", default=None)


@contextmanager
def asking_until(left: Callable[[], float]) -> Iterator[None]:
    """Let nothing be asked in this block, of this thread, once `left()` is 0 or less. `left`: seconds that remain."""
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)


def timing(attempts: int | None, usual: dict[str, Any]) -> dict[str, Any]:
    """Return the time-outs and retries of a client of botocore: the usual ones, or shorter ones with a deadline.

    Args:
        attempts: of one request; 1 for those that must not be sent twice.
        usual: without a deadline.
    """
    if _left.get() is None:
        return usual
    retries = {"mode": "standard", "total_max_attempts": 1 if attempts == 1 else 2}
    return {"retries": retries, "connect_timeout": CONNECT_S, "read_timeout": READ_S}


def check_time(operation: str) -> None:
    """Raise TargetUnavailable where the time is over."""
    left = _left.get()
    if left is not None and left() <= 0:
        raise TargetUnavailable(f"{operation}: not asked any more: the time is up")
