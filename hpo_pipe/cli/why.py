"""``hpo-pipe why``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, json_option, trial_argument, url_argument
from hpo_pipe.cli.output import print_json, print_lines


@click.command(
    short_help="Tell why a trial is where it is.",
    epilog=examples("hpo-pipe why ./study 7", "hpo-pipe why s3://bucket/studies/first 7 --json"),
)
@url_argument
@trial_argument
@json_option
def why(url: str, trial: int, as_json: bool) -> None:
    """Tell why a trial is where it is: each decision with its reason, each attempt with its end."""
    from hpo_pipe.report.evidence import gather, trial_numbered
    from hpo_pipe.report.why import why_json, why_lines
    from hpo_pipe.study import open_study

    study = open_study(url)
    state = study.look()
    found = trial_numbered(state.history, trial)
    evidence = gather(study.store, state.history, trial)
    if as_json:
        print_json(why_json(state, found, evidence))
        return
    print_lines(why_lines(state, found, evidence))
