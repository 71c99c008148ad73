"""Keeping variables of the worker's own environment, such as cloud credentials, from the trials that it runs."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

_PR_SET_DUMPABLE = 4  # prctl(2)


def without(environment: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Return the variables whose names match none of `patterns` (``AWS_*``; upper and lower case differ)."""
    wanted = tuple(patterns)
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatchcase(name, pattern) for pattern in wanted)
    }


def close_own_memory() -> None:
    """Keep other processes of this user from reading this one's environment and memory in /proc (Linux).

    Root may look all the same. Costs core dumps.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
