"""``hpo-pipe submit reconcile``: as many workers as the study can use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import print_json, print_lines, say
from hpo_pipe.count_type import Count
from storage_schema.records.submission import MAX_WORKERS

if TYPE_CHECKING:
    from hpo_pipe.launch.reconcile import Bounds, Reconciler
    from storage_schema.store import Store


@click.command(
    short_help="Scale the workers to what the study can use.",
    epilog=examples(
        "hpo-pipe submit reconcile s3://bucket/studies/first --max-workers 16",
        "* * * * * hpo-pipe submit reconcile s3://bucket/studies/first --max-workers 16     in a crontab",
        "hpo-pipe coordinator s3://bucket/studies/first --autoscale --max-workers 16        the same, in a loop",
    ),
)
@url_argument
@click.option(
    "--min-workers",
    type=Count(0, MAX_WORKERS),
    default=0,
    show_default=True,
    help="Never fewer, while the study is under way.",
)
@click.option("--max-workers", type=Count(0, MAX_WORKERS), required=True, help="Never more.")
@json_option
def reconcile(url: str, min_workers: int, max_workers: int, as_json: bool) -> None:
    """Start workers like those of the newest submission until there are as many as the study can use, or cancel those
    that still wait for a machine. May be run by anybody, at any time, also twice at once.

    The study can use one worker for as many open trials as a worker has slots, and none when it has ended. Workers
    that run are never ended: they end with the study, or by their --idle-timeout. Where a provider refuses (quota,
    capacity), the next instance type is tried, then on-demand if --spot-then-on-demand allowed it, then all again,
    later and later.
    """
    from storage_schema.store import open_store

    made = reconciler(open_store(url), bounds_of(min_workers, max_workers), say)
    found = made.run()
    for note in found.notes:
        say(note)
    if as_json:
        print_json(
            {
                "wanted": found.wanted,
                "alive": found.alive,
                "pending": found.pending,
                "foreign": found.foreign,
                "started": found.started,
                "cancelled": found.cancelled,
                "wait_s": round(found.wait_s, 1),
                "notes": found.notes,
            }
        )
    else:
        print_lines([found.line()])


def bounds_of(least: int, most: int) -> Bounds:
    """Return the bounds that the options make; raises UserError."""
    from hpo_pipe.launch.reconcile import Bounds
    from storage_schema.errors import UserError

    if least > most:
        raise UserError(f"--min-workers is {least}, expected at most --max-workers, {most}")
    return Bounds(least=least, most=most)


def reconciler(store: Store, bounds: Bounds, say: Callable[[str], object]) -> Reconciler:
    """Return what keeps the workers of the study in `store` within bounds."""
    from hpo_pipe.launch import find_target
    from hpo_pipe.launch.opening import open_desk
    from hpo_pipe.launch.reconcile import Reconciler
    from hpo_pipe.study import OpenStudy

    return Reconciler(open_desk(store, say), OpenStudy(store).look, find_target, bounds)
