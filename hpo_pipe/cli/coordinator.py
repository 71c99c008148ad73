"""``hpo-pipe coordinator``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import click

from hpo_pipe.cli.arguments import Duration, examples, url_argument
from hpo_pipe.cli.output import say
from hpo_pipe.count_type import Count
from storage_schema.records.submission import MAX_WORKERS


@click.command(
    short_help="Decide what is trained next.",
    epilog=examples(
        "hpo-pipe coordinator s3://bucket/studies/first",
        "hpo-pipe coordinator s3://bucket/studies/first --once          one tick, for cron or a Lambda",
        "hpo-pipe coordinator ./study --until-done",
        "hpo-pipe coordinator s3://bucket/studies/first --autoscale --max-workers 16",
    ),
)
@url_argument
@click.option("--once", is_flag=True, help="One tick, then end.")
@click.option(
    "--until-done", is_flag=True, help="End with the study; otherwise stay for what users may still want."
)
@click.option("--tick", "tick_s", type=Duration(), help="Between two ticks that find nothing to do.")
@click.option(
    "--autoscale",
    is_flag=True,
    help="Also start workers like those submitted last, as many as can be used (`submit reconcile`).",
)
@click.option(
    "--min-workers", type=Count(0, MAX_WORKERS), help="With --autoscale: never fewer.  [default: 0]"
)
@click.option("--max-workers", type=Count(0, MAX_WORKERS), help="With --autoscale: never more.")
def coordinator(
    url: str,
    once: bool,
    until_done: bool,
    tick_s: float | None,
    autoscale: bool,
    min_workers: int | None,
    max_workers: int | None,
) -> int:
    """Decide what is trained next. Any number may run, anywhere, at any time.

    Waits while the store cannot be used, and goes on. SIGTERM and Ctrl-C end it after the tick under way, with 75.
    """
    if once and until_done:
        raise click.UsageError("--once and --until-done exclude each other")
    if autoscale and max_workers is None:
        raise click.UsageError("--autoscale needs --max-workers")
    if not autoscale and (min_workers is not None or max_workers is not None):
        raise click.UsageError("--min-workers and --max-workers are for --autoscale")
    from hpo_pipe.coordinator.loop import run_coordinator

    with _scaling(url, min_workers or 0, max_workers, once=once):
        return run_coordinator(url, once=once, until_done=until_done, tick_s=tick_s, say=say)


def _scaling(url: str, least: int, most: int | None, *, once: bool) -> AbstractContextManager[None]:
    if most is None:
        return nullcontext()
    from hpo_pipe.cli.reconcile import bounds_of, reconciler
    from hpo_pipe.launch.autoscale import Autoscaler, autoscaling
    from storage_schema.clock import SystemClock
    from storage_schema.store import open_store

    made = reconciler(open_store(url), bounds_of(least, most), say)
    return autoscaling(Autoscaler(made, SystemClock(), say), once=once)
