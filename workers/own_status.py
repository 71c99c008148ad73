"""This worker's status file, for a launcher that does not wait for it (:mod:`storage_schema.status_file`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from storage_schema import status_file

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

_own: list[Path] = []


@contextlib.contextmanager
def status_told(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Write down this process's number, and how the block ends; where nobody asks for it, do nothing.

    The variable that asks for it is taken out of `environment`: trials, and what they start, are not meant.
    """
    path = environment.pop(status_file.VARIABLE, "")
    if path:
        _own[:] = [Path(path)]
        with contextlib.suppress(OSError):
            status_file.begin(Path(path), os.getpid(), replace=True)
    code = EXIT_FAILED
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_FAILED if end.code else 0
        raise
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        raise
    finally:
        tell_end(code)


def tell_end(code: int) -> None:
    """Write down the exit code, if anybody asked for it and it was not told yet."""
    while _own:
        with contextlib.suppress(OSError):
            status_file.end(_own.pop(), code)
