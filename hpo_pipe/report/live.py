"""The live view of `run` and `status --watch`, drawn with rich."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo_pipe.report.limits import limit_uses
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.status import (
    best_pairs,
    condition_line,
    counts_line,
    failure_pairs,
    rung_lines,
)
from hpo_pipe.report.words import counted, duration, number, sparkline
from storage_schema.history import History
from storage_schema.terminal import one_line, printable

MAX_RUNNING = 12
BAR = 30
_COLOURS = {"running": "green", "paused": "yellow", "ending": "yellow", "finished": "cyan"}


def live_view(state: StudyState, notes: list[str]) -> RenderableType:
    """Return the view; `notes` are the newest messages of the caller, shown below."""
    parts: list[RenderableType] = [_heading(state), _facts(state)]
    if state.running:
        parts += [Text(), _running(state)]
    parts += [Text(printable(note), style="yellow") for note in notes]
    return Group(
        *parts, Text()
    )  # a line of its own for the terminal's ^C, which else breaks a full last line


def print_grid_on_terminal(
    console: Console, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], right: frozenset[str]
) -> None:
    """Print a table with aligned columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(table)


def incumbent_curve(history: History) -> list[float]:
    """Return the best objective value so far after each spec that was measured, in the order of issue.

    None with bounds or several objectives: there the best so far is not one value.
    """
    if not history.study.plain:
        return []
    name, best, curve = history.study.objective.name, math.inf, []
    for spec in history.specs.values():
        points = spec.settled.curves.get(name, ()) if spec.settled else ()
        if points and math.isfinite(loss := history.loss(points[-1][1])):
            best = min(best, loss)
            curve.append(history.value(best))
    return curve


def _heading(state: StudyState) -> Text:
    colour = _COLOURS[state.condition]
    return Text.assemble(
        (state.study.name, "bold"),
        "  ",
        (one_line(condition_line(state)), colour),
        f"  {duration(state.elapsed_s)}",
    )


def _facts(state: StudyState) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="ellipsis")
    table.add_row("trials", counts_line(state))
    for word, text in best_pairs(state):
        table.add_row(word, Text(one_line(text), style="bold" if word == "best" else ""))
    for word, text in failure_pairs(state):
        table.add_row(word, Text(one_line(text), style="red"))
    curve = incumbent_curve(state.history)
    if curve and curve[0] != curve[-1]:
        ends = f"  {number(curve[0])} → {number(curve[-1])}"
        table.add_row("incumbent", Text.assemble((sparkline(curve, BAR), "cyan"), ends))
    for use in limit_uses(state):
        table.add_row("limit", _bar(use.share, f"{use.name} {use.text}"))
    _add_rungs(table, state)
    workers = state.live("worker")
    coordinators = counted(len(state.live("coordinator")), "coordinator")
    table.add_row("workers", f"{len(workers)} alive, {coordinators}")
    return table


def _add_rungs(table: Table, state: StudyState) -> None:
    resource, lines = state.study.resource, rung_lines(state)
    most = max((line.measured for line in lines), default=0)
    if resource is None or not most:
        return
    width = len(str(resource.max))
    for place, line in enumerate(lines):
        text = f"{resource.name} {line.level:>{width}}  {line.measured} measured, best {number(line.best)}"
        table.add_row("" if place else "rungs", _bar(line.measured / most, text))


def _bar(share: float, text: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=BAR)
    row.add_column(no_wrap=True, overflow="ellipsis")
    row.add_row(ProgressBar(total=1.0, completed=share, width=BAR), Text(text))
    return row


def _running(state: StudyState) -> Table:
    resource = state.study.resource
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", resource.name if resource else "reports", state.study.objective.name, "worker"):
        table.add_column(column, justify="left" if column == "worker" else "right", no_wrap=True)
    for trial, (worker, held) in sorted(state.running.items())[:MAX_RUNNING]:
        goal = f" of {state.history.trials[trial].last.issue.to}" if resource else ""
        table.add_row(str(trial), f"{held.resource}{goal}", number(held.value), worker)
    if len(state.running) > MAX_RUNNING:
        table.add_row("", "", "", f"and {len(state.running) - MAX_RUNNING} more")
    return table
