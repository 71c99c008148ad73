"""How much the fuzz tests do: little and the same each time in the ordinary run, much and new with ``FUZZ=100``."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("FUZZ", "1"))
"""Times the examples of an ordinary run."""


def examples(count: int) -> Any:
    """Return settings of `count` examples, times FUZZ; an ordinary run tries the same ones each time."""
    return settings(
        max_examples=count * FACTOR,
        derandomize=FACTOR == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
