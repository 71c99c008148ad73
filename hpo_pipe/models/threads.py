"""Linear algebra in one thread.

Models are small: more threads wait for each other longer than they compute (minutes where many processes share the
cores), and the last digits then depend on how many there are. The limit holds for the block alone, in this process
alone: what it starts, and what else runs in it, keep their threads.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a block in which BLAS computes in one thread; a few microseconds."""
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401  brings a library of its own, beside numpy's: it must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
