"""``hpo-pipe status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import Duration, examples, json_option, url_argument
from hpo_pipe.cli.output import console, on_terminal, print_json, print_lines

if TYPE_CHECKING:
    from hpo_pipe.study import OpenStudy


@click.command(
    epilog=examples(
        "hpo-pipe status s3://bucket/studies/first",
        "hpo-pipe status ./study --watch            until it ends; Ctrl-C leaves the study alone",
        "hpo-pipe status ./study --json | jq .counts",
    )
)
@url_argument
@click.option("--watch", is_flag=True, help="Look again and again until the study has ended.")
@click.option("--interval", type=Duration(), default="2s", show_default=True, help="Between two looks.")
@json_option
def status(url: str, watch: bool, interval: float, as_json: bool) -> None:
    """Show where a study stands."""
    from hpo_pipe.report.status import status_json, status_lines
    from hpo_pipe.study import open_study

    study = open_study(url)
    if watch and not as_json and on_terminal():
        _watch_live(study, interval)
        return
    while True:
        state = study.look()
        if as_json:
            print_json(status_json(state))
        else:
            print_lines(status_lines(state))
        if not watch or state.history.closed:
            return
        _pause(interval)
        if not as_json:
            print_lines([""])


def _watch_live(study: OpenStudy, interval: float) -> None:
    from rich.live import Live

    from hpo_pipe.report.live import live_view
    from storage_schema.errors import StoreUnavailable

    state = study.look()
    with Live(live_view(state, []), console=console(), auto_refresh=False) as live:
        while not state.history.closed:
            _pause(interval)
            try:
                state, notes = study.look(), []
            except StoreUnavailable as error:
                notes = [f"waiting: {error}"]
            live.update(live_view(state, notes), refresh=True)


def _pause(seconds: float) -> None:
    from storage_schema.clock import SystemClock

    SystemClock().sleep(max(0.1, seconds))
