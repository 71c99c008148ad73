"""A real worker or coordinator whose store writes a history: ``python -m tests.histories.actor FOLDER worker URL ...``.

The dict of stores is the one place where they come in, so this process puts recording ones there, and then runs the
command of the product as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from storage_schema.store import STORES, Store
from tests.histories.recorder import Recorded


def opens_recorded(target: str, folder: Path) -> Callable[[str], Recorded]:
    """Return what opens the store ``module:class`` and records it in `folder`, a new file for each opening."""
    module, _, name = target.partition(":")
    opened = 0

    def open_it(url: str) -> Recorded:
        nonlocal opened
        opened += 1
        inner: Store = getattr(import_module(module), name)(url)
        return Recorded(inner, folder, f"{os.getpid()}-{opened}")

    return open_it


def record_all_stores(folder: Path) -> None:
    """Let every store that this process opens by its URL be recorded."""
    for scheme, target in list(STORES.items()):
        setattr(sys.modules[__name__], f"open_{scheme}", opens_recorded(target, folder))
        STORES[scheme] = f"{__name__}:open_{scheme}"


def main() -> None:
    folder, role, *arguments = sys.argv[1:]
    record_all_stores(Path(folder))
    if role == "worker":
        from workers.__main__ import worker as command
    else:
        from hpo_pipe.cli.group import cli as command

        arguments = [role, *arguments]
    command.main(arguments, prog_name=role)


if __name__ == "__main__":
    main()
