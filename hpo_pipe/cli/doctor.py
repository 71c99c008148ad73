"""``hpo-pipe doctor``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.failures import CONFIGURATION, UNAVAILABLE
from hpo_pipe.cli.output import print_lines


@click.command(
    short_help="Prove that a store can hold a study.",
    epilog=examples("hpo-pipe doctor s3://bucket/studies/first", "hpo-pipe doctor ./studies"),
)
@url_argument
def doctor(url: str) -> int:
    """Prove that a store keeps the rules that a study's safety rests on, and time its verbs.

    Writes a few small objects under the URL and deletes them again. Exits with 78 where a rule is not kept,
    with 69 where the store does not answer.
    """
    from hpo_pipe.doctor import examine, render

    report = examine(url)
    print_lines(render(report))
    if report.proof is None:
        return UNAVAILABLE
    return 0 if report.ok else CONFIGURATION
