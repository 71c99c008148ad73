"""Putting other code in the place of the product's, for as long as a planted fault is to last."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

PRODUCT = ("storage_schema", "hpo_pipe", "workers")


@contextmanager
def replaced(owner: Any, **new: object) -> Iterator[None]:
    """Set attributes of a class or a module that it has itself, and put the old ones back."""
    old = {name: vars(owner)[name] for name in new}
    for name, value in new.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in old.items():
            setattr(owner, name, value)


@contextmanager
def everywhere(old: Callable[..., Any], new: Callable[..., Any]) -> Iterator[None]:
    """Replace a function in all of the product's modules that have imported it."""
    with ExitStack() as stack:
        for module in list(sys.modules.values()):
            ours = module.__name__.partition(".")[0] in PRODUCT
            if ours and vars(module).get(old.__name__) is old:
                stack.enter_context(replaced(module, **{old.__name__: new}))
        yield
