"""Numbers on the command line, named as people name them."""

from __future__ import annotations

from typing import Any

import click


class Count(click.IntRange):
    """An integer within bounds, shown as ``N``; click's own is called INTEGER RANGE."""

    name = "integer"

    def get_metavar(self, param: click.Parameter, *_: Any, **__: Any) -> str | None:
        """Return what help shows of an option; arguments show their names. (Newer versions of click give a context.)"""
        return "N" if isinstance(param, click.Option) else None


class Number(click.FloatRange):
    """A number within bounds; click's own is called FLOAT RANGE."""

    name = "number"
