"""Data on stdout, talk on stderr; tables and colours only where a person looks.

Nothing leaves here that could take hold of a terminal: names, reasons and tails of output were written by strangers.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from storage_schema.terminal import one_line, printable, printable_json, printable_output

if TYPE_CHECKING:
    from rich.console import Console

    from hpo_pipe.report.trials import Grid
    from storage_schema.codec import Json


def say(message: str) -> None:
    """Tell the person something; not data."""
    click.echo(printable(message), err=True)


def print_lines(lines: list[str]) -> None:
    """Print text as data; nothing at all where there are no lines."""
    for line in lines:
        click.echo(one_line(line))


def print_json(value: Json) -> None:
    """Print JSON as data: indented, keys in the order given."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def print_grid(grid: Grid, told: frozenset[str] = frozenset()) -> None:
    """Print a table: aligned on a terminal, tab-separated with a heading elsewhere.

    On a terminal, columns of `told` are left out where they have only empty cells and zeros: they tell nothing, and
    take the place of those that do.
    """
    if on_terminal():
        from hpo_pipe.report.live import print_grid_on_terminal

        kept = [
            at
            for at, name in enumerate(grid.columns)
            if name not in told or any(row[at] not in ("", "0") for row in grid.rows)
        ]
        rows = [tuple(row[at] for at in kept) for row in grid.rows]
        print_grid_on_terminal(console(), tuple(grid.columns[at] for at in kept), tuple(rows), grid.right)
        return
    for row in (grid.columns, *grid.rows):
        click.echo("\t".join(one_line(cell).replace("\t", "\\t") for cell in row))


def print_output(data: bytes) -> None:
    """Print what a trial printed: byte by byte into a file or a pipe, and without control sequences on a terminal."""
    click.echo(printable_output(data.decode("utf-8", "replace")) if on_terminal() else data, nl=False)


def on_terminal(err: bool = False) -> bool:
    """Tell whether a person looks at stdout (or stderr)."""
    return (sys.stderr if err else sys.stdout).isatty()


def console(err: bool = False) -> Console:
    """Return rich's console for stdout (or stderr); it honours NO_COLOR and TERM."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, soft_wrap=False)
