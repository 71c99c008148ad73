"""The live view on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from hpo_pipe.report.live import live_view
from hpo_pipe.study import open_study
from tests.unit.cli.told_study import Teller


def test_the_cursor_rests_on_an_empty_line_where_ctrl_c_may_echo(told: Teller) -> None:
    """The terminal echoes ^C at the cursor: behind a line as wide as the screen it would begin another line."""
    console = Console(file=io.StringIO(), width=40, force_terminal=True)
    lines = console.render_lines(live_view(open_study(told.url).look(), []), pad=False)
    assert "".join(part.text for part in lines[-1]).strip() == ""
    assert "".join(part.text for part in lines[-2]).strip() != ""
