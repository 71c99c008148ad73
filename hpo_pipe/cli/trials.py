"""``hpo-pipe trials``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import on_terminal, print_grid, print_json, say
from hpo_pipe.count_type import Count


@click.command(
    epilog=examples(
        "hpo-pipe trials ./study --sort value --limit 10",
        "hpo-pipe trials ./study --state RUNNING --state WAITING",
        "hpo-pipe trials ./study | cut -f1,3        tab-separated when not on a terminal",
        "hpo-pipe trials ./study --json | jq '.[].params'",
    )
)
@url_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    help="Only trials in this state (WAITING, RUNNING, PAUSED, COMPLETE, PRUNED, FAILED); may be repeated.",
)
@click.option(
    "--sort",
    default="number",
    show_default=True,
    metavar="KEY",
    help="number, value (best first), resource or state.",
)
@click.option("--limit", type=Count(min=1), help="At most so many.")
@json_option
def trials(url: str, states: tuple[str, ...], sort: str, limit: int | None, as_json: bool) -> None:
    """List the trials of a study."""
    from hpo_pipe.report.trials import selected, trials_grid, trials_of
    from hpo_pipe.study import open_study

    state = open_study(url).look()
    minimize = state.study.objective.goal == "minimize"
    found = selected(trials_of(state), states, sort, minimize=minimize)
    shown = found[:limit]
    if as_json:
        print_json([trial.to_json() for trial in shown])
        return
    print_grid(trials_grid(state, shown, exact=not on_terminal()))
    if len(shown) < len(found):
        say(f"{len(found) - len(shown)} more (--limit {limit})")
