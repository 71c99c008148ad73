"""``hpo-pipe replay``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.failures import FAILURE
from hpo_pipe.cli.output import print_lines, say


@click.command(
    short_help="Decide the study anew and compare with its log.", epilog=examples("hpo-pipe replay ./study")
)
@url_argument
def replay(url: str) -> int:
    """Decide the whole study anew from its own facts, and compare with its log.

    Prints each entry that another decision would have taken the place of; exits with 1 where there is one. The
    same version of hpo-pipe agrees with itself always; another version may decide otherwise.
    """
    from hpo_pipe.replay import replay as mismatches
    from hpo_pipe.report.evidence import read_entries
    from hpo_pipe.study import open_study

    study = open_study(url)
    head = study.look().history.head
    wrong = 0
    for found in mismatches(study.definition, read_entries(study.store, 0, head)):
        wrong += 1
        print_lines(
            [
                f"entry {found.entry}",
                *(f"  recorded  {decision}" for decision in found.recorded),
                *(f"  expected  {decision}" for decision in found.expected),
            ]
        )
    say(f"{head + 1} entries replayed, {wrong} of them otherwise than recorded")
    return FAILURE if wrong else 0
