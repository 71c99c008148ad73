"""``hpo-pipe submit status``, ``cancel`` and ``logs``: what became of submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.failures import FAILURE
from hpo_pipe.cli.output import print_grid, print_json, print_lines, say
from hpo_pipe.count_type import Count

if TYPE_CHECKING:
    from hpo_pipe.launch.desk import Desk
    from hpo_pipe.launch.submissions import Known
    from hpo_pipe.launch.target import Look
    from storage_schema.codec import Json

MAX_LINES = 100_000


@click.command(
    short_help="What became of submissions.",
    epilog=examples(
        "hpo-pipe submit status s3://bucket/studies/first",
        "hpo-pipe submit status s3://bucket/studies/first 3       job by job",
    ),
)
@url_argument
@click.argument("number", type=Count(min=1), required=False)
@click.option("--all", "also_over", is_flag=True, help="Those too of which nothing runs or waits any more.")
@json_option
def status(url: str, number: int | None, also_over: bool, as_json: bool) -> None:
    """Show what was submitted, and what providers say of it now; with a NUMBER, that one's jobs."""
    desk = _opened(url)
    chosen = [_numbered(desk, number)] if number else _listed(desk, also_over)
    looked = [(known, *_looked(desk, known)) for known in chosen]
    if as_json:
        print_json([_json(known, look, problem) for known, look, problem in looked])
        return
    for known, _, problem in looked:
        if problem:
            say(f"submission {known.number} ({known.order.target}): {problem}")
    if number is not None:
        _print_jobs(looked[0][0], looked[0][1])
    elif looked:
        _print_table([(known, look) for known, look, _ in looked])
    else:
        say(
            "nothing of what was submitted runs or waits; --all shows it"
            if desk.submissions.all()
            else "nothing was submitted"
        )


@click.command(
    short_help="End jobs of submissions; trials are handed back.",
    epilog=examples(
        "hpo-pipe submit cancel s3://bucket/studies/first 3 4",
        "hpo-pipe submit cancel s3://bucket/studies/first --all",
    ),
)
@url_argument
@click.argument("numbers", type=Count(min=1), nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of which something runs or waits.")
def cancel(url: str, numbers: tuple[int, ...], every: bool) -> int:
    """End jobs of submissions. Workers that run save, hand back their trials, and end within the target's grace.

    The study goes on with other workers; to end it, `hpo-pipe stop`.
    """
    if bool(numbers) == every:
        raise click.UsageError("give submissions' NUMBERS, or --all")
    from hpo_pipe.launch import find_target
    from hpo_pipe.launch.target import TargetUnavailable

    desk, failed = _opened(url), False
    for known in desk.submissions.open() if every else [_numbered(desk, number) for number in numbers]:
        if known.over:
            say(f"submission {known.number}: nothing of it runs or waits ({known.kind})")
            continue
        try:
            count = desk.cancel(find_target(known.order.target), known)
            say(f"submission {known.number}: {count} told to end")
        except TargetUnavailable as error:
            say(f"submission {known.number} ({known.order.target}): not cancelled: {error}")
            failed = True
    return FAILURE if failed else 0


@click.command(
    short_help="What workers of a submission printed.",
    epilog=examples(
        "hpo-pipe submit logs s3://bucket/studies/first 3",
        "hpo-pipe submit logs s3://bucket/studies/first 3 --job hpo-first-1a2b3c4d-3-0 --lines 500",
    ),
)
@url_argument
@click.argument("number", type=Count(min=1), required=False)
@click.option("--job", metavar="ID", help="One job, as `submit status URL NUMBER` names it.")
@click.option(
    "--lines",
    type=Count(1, MAX_LINES),
    default=50,
    show_default=True,
    help="The last so many of each.",
)
def logs(url: str, number: int | None, job: str | None, lines: int) -> None:
    """Print what workers printed, of the newest submission or of NUMBER. What trials print: `hpo-pipe logs`."""
    from hpo_pipe.launch import find_target
    from hpo_pipe.launch.target import TargetUnavailable
    from storage_schema.errors import StoreUnavailable, UserError

    desk = _opened(url)
    known = _numbered(desk, number) if number else next(iter(reversed(desk.submissions.all())), None)
    if known is None:
        raise UserError(f"{url}: nothing was submitted")
    found = False
    try:
        for line in find_target(known.order.target).logs(known.order, known.jobs, job, lines):
            print_lines([line])
            found = True
    except TargetUnavailable as error:
        raise StoreUnavailable(f"submission {known.number} ({known.order.target}): {error}") from None
    if not found:
        names = (
            f"; its jobs are {', '.join(known.jobs[:5])}{', ...' if len(known.jobs) > 5 else ''}"
            if job
            else ""
        )
        say(f"submission {known.number}: nothing was printed{f' by {job}' if job else ''} yet{names}")


def _opened(url: str) -> Desk:
    from hpo_pipe.coordinator.log import study_bytes
    from hpo_pipe.launch.opening import open_desk
    from storage_schema.store import open_store

    store = open_store(url)
    study_bytes(store)
    desk = open_desk(store, say)
    desk.submissions.refresh(all_of_them=True)
    return desk


def _numbered(desk: Desk, number: int) -> Known:
    from storage_schema.errors import UserError

    known = desk.submissions.get(number)
    if known is None:
        there = ", ".join(str(one.number) for one in desk.submissions.all()[-10:]) or "none"
        raise UserError(f"submission {number}: there is none; the newest are {there}")
    return known


def _listed(desk: Desk, also_over: bool) -> list[Known]:
    return desk.submissions.all() if also_over else desk.submissions.open()


def _looked(desk: Desk, known: Known) -> tuple[Look | None, str]:
    from hpo_pipe.launch import find_target
    from hpo_pipe.launch.target import TargetUnavailable
    from storage_schema.errors import UserError

    if known.over and not known.jobs:
        return None, ""
    silent = "its launcher has not said yet what came of it" if known.unsettled else ""
    try:
        return desk.look(find_target(known.order.target), known), silent
    except (TargetUnavailable, UserError) as error:
        return None, str(error)


def _print_table(looked: list[tuple[Known, Look | None]]) -> None:
    from hpo_pipe.launch.target import JobState
    from hpo_pipe.report.trials import Grid

    rows = []
    for known, look in looked:
        unknown = "" if known.over else "?"
        counts = [str(look.counts.get(state, 0)) if look else unknown for state in JobState]
        state = str(known.kind or "submitting")
        what = (str(known.number), known.order.target, str(known.order.offer), state)
        said = known.refusal.message if known.refusal else ""
        rows.append((*what, str(known.record.workers), str(known.workers), *counts, said))
    numbers = ("asked", "started", *map(str, JobState))
    columns = ("number", "target", "offer", "state", *numbers, "refusal")
    grid = Grid(columns=columns, rows=tuple(rows), right=frozenset({"number", *numbers}))
    print_grid(grid, told=frozenset({"offer", "asked", "refusal", *map(str, JobState)}))


def _print_jobs(known: Known, look: Look | None) -> None:
    if look is None:
        return
    print_lines([f"{job.id}\t{job.state}\t{job.detail}".rstrip("\t") for job in look.jobs])


def _json(known: Known, look: Look | None, problem: str) -> dict[str, Json]:
    refusal = known.refusal
    return {
        "number": known.number,
        "name": known.order.name,
        "target": known.order.target,
        "instance_type": known.order.offer.instance_type,
        "lifecycle": known.order.offer.lifecycle,
        "state": str(known.kind or "submitting"),
        "asked": known.record.workers,
        "started": known.workers,
        "counts": {str(state): count for state, count in look.counts.items()} if look else None,
        "jobs": [{"id": j.id, "state": str(j.state), "detail": j.detail} for j in look.jobs]
        if look
        else None,
        "refusal": {"kind": refusal.refusal, "message": refusal.message} if refusal else None,
        "problem": problem,
    }
