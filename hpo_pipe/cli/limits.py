"""``hpo-pipe limits``."""

from __future__ import annotations

from typing import Any

import click

from hpo_pipe.cli.arguments import NO_LIMIT, Duration, OrNone, examples, json_option, url_argument
from hpo_pipe.cli.output import print_json, print_lines, say
from hpo_pipe.count_type import Count, Number


@click.command(
    short_help="Show or change when the study ends.",
    epilog=examples(
        "hpo-pipe limits ./study                       what they are, and how much is used",
        "hpo-pipe limits ./study --trials 200",
        "hpo-pipe limits ./study --wall-time 12h --target none",
        "hpo-pipe limits s3://bucket/studies/first --cost 50",
    ),
)
@url_argument
@click.option("--trials", type=OrNone(Count(min=1), "count"), help="Trials in all.")
@click.option("--total-resource", type=OrNone(Count(min=1), "units"), help="Units of training in all.")
@click.option(
    "--wall-time",
    "wall_s",
    type=OrNone(Duration(), "duration"),
    help="As in 90min or 12h.",
)
@click.option("--gpu-hours", type=OrNone(Number(min=0, min_open=True), "hours"), help="GPU hours in all.")
@click.option(
    "--cost",
    type=OrNone(Number(min=0, min_open=True), "dollars"),
    help="Dollars of training in all: the study's budget.",
)
@click.option(
    "--target", type=OrNone(click.FLOAT, "value"), help="End when the objective is at least this good."
)
@click.option(
    "--not-improving",
    type=OrNone(Count(min=1), "count"),
    help="End when so many trials came back without improving on the best result.",
)
@click.option(
    "--convergence",
    type=OrNone(Number(min=0, max=1), "share"),
    help="End when the best results differ by this share of what results differ by, as in 0.01.",
)
@json_option
def limits(url: str, as_json: bool, **given: Any) -> None:
    """Show or change when the study ends; `none` takes a limit away. Reopens a study that has ended."""
    from dataclasses import replace

    from hpo_pipe.report.limits import limit_uses, uncounted
    from hpo_pipe.report.words import number
    from hpo_pipe.study import open_study

    study = open_study(url)
    wanted = {
        name: None if value == NO_LIMIT else value for name, value in given.items() if value is not None
    }
    if wanted:
        entry = study.set_limits(lambda now: replace(now, **wanted))
        say(
            f"limits changed (log entry {entry.entry})"
            if entry
            else "these are the limits already: nothing to do"
        )
    state = study.look()
    now = state.history.limits
    if note := uncounted(state):
        say(f"note: {note}")
    if as_json:
        print_json({"limits": now.to_json(), "used": {use.name: use.used for use in limit_uses(state)}})
        return
    lines = [f"{use.name}: {use.text}" for use in limit_uses(state)]
    if now.target is not None:
        lines.append(f"target: {number(now.target)}")
    if now.convergence is not None:
        lines.append(f"convergence: {number(now.convergence)}")
    print_lines(lines or ["no limit is set"])
