"""How `run` shows progress: a live view on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpo_pipe.cli.output import console, on_terminal, say
from storage_schema.clock import SystemClock
from storage_schema.terminal import printable

if TYPE_CHECKING:
    from hpo_pipe.report.state import StudyState

Show = Callable[["StudyState", list[str]], None]

LINE_S = 2.0
"""Seconds between two lines of progress, at least."""


@contextmanager
def progress() -> Iterator[Show]:
    """Yield what draws one look at a study."""
    if on_terminal(err=True):
        with _live() as show:
            yield show
    else:
        yield _Lines()


@contextmanager
def _live() -> Iterator[Show]:
    from rich.live import Live
    from rich.text import Text

    from hpo_pipe.report.live import live_view

    screen = console(err=True)
    with Live(console=screen, auto_refresh=False) as live:

        def show(state: StudyState, notes: list[str]) -> None:
            for note in notes:  # printed above the view, where they stay
                live.console.print(Text(printable(note), style="yellow"))
            live.update(live_view(state, []), refresh=True)

        yield show


class _Lines:
    """Says what changed, one line per look that saw something."""

    def __init__(self) -> None:
        self._said = ""
        self._said_at = -LINE_S
        self._clock = SystemClock()

    def __call__(self, state: StudyState, notes: list[str]) -> None:
        from hpo_pipe.report.status import best_line, counts_line
        from hpo_pipe.report.trials import best_of

        for note in notes:
            say(note)
        now = self._clock.monotonic()
        if now - self._said_at < LINE_S and not state.history.closed:
            return
        best = best_of(state)
        line = f"trials {counts_line(state)}" + (f"; best {best_line(state, best)}" if best else "")
        if line != self._said:
            say(line)
            self._said, self._said_at = line, now
