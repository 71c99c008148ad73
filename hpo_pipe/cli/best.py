"""``hpo-pipe best``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import print_json, print_lines, say


@click.command(
    short_help="Print the best configuration.",
    epilog=examples(
        "hpo-pipe best s3://bucket/studies/first", "hpo-pipe best ./study --json | jq .params > best.json"
    ),
)
@url_argument
@json_option
def best(url: str, as_json: bool) -> int:
    """Print the best configuration: the best trial of the greatest resource measured.

    One parameter per line, as name=value. Exits with 1 while nothing was measured.
    """
    from hpo_pipe.report.status import best_line
    from hpo_pipe.report.trials import best_of
    from hpo_pipe.report.words import plain
    from hpo_pipe.study import open_study

    state = open_study(url).look()
    found = best_of(state)
    if found is None:
        say("nothing measured yet")
        return 1
    if as_json:
        print_json(found.to_json())
        return 0
    say(best_line(state, found))
    print_lines([f"{name}={plain(value)}" for name, value in found.params.items()])
    return 0
