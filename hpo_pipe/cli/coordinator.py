"""``hpo-pipe coordinator``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import Duration, examples, url_argument
from hpo_pipe.cli.output import say


@click.command(
    short_help="Decide what is trained next.",
    epilog=examples(
        "hpo-pipe coordinator s3://bucket/studies/first",
        "hpo-pipe coordinator s3://bucket/studies/first --once          one tick, for cron or a Lambda",
        "hpo-pipe coordinator ./study --until-done",
    ),
)
@url_argument
@click.option("--once", is_flag=True, help="One tick, then end.")
@click.option(
    "--until-done", is_flag=True, help="End with the study; otherwise stay for what users may still want."
)
@click.option("--tick", "tick_s", type=Duration(), help="Between two ticks that find nothing to do.")
def coordinator(url: str, once: bool, until_done: bool, tick_s: float | None) -> int:
    """Decide what is trained next. Any number may run, anywhere, at any time.

    Waits while the store cannot be used, and goes on. SIGTERM and Ctrl-C end it after the tick under way, with 75.
    """
    if once and until_done:
        raise click.UsageError("--once and --until-done exclude each other")
    from hpo_pipe.coordinator.loop import run_coordinator

    return run_coordinator(url, once=once, until_done=until_done, tick_s=tick_s, say=say)
