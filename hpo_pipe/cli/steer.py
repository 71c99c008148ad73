"""``hpo-pipe enqueue | stop | pause | resume | retry``: each writes one entry to the study's log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples, trial_argument, url_argument
from hpo_pipe.cli.output import say
from hpo_pipe.count_type import Count

if TYPE_CHECKING:
    from storage_schema.codec import Json
    from storage_schema.records import Entry


@click.command(
    epilog=examples(
        "hpo-pipe enqueue ./study lr=0.1 layers=2",
        "hpo-pipe enqueue ./study activation=relu      the searcher fills in the rest",
        "hpo-pipe enqueue ./study 'name=\"0.1\"'         a text that looks like a number",
    )
)
@url_argument
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=VALUE...")
def enqueue(url: str, pairs: tuple[str, ...]) -> None:
    """Have a configuration tried next. Values are JSON (0.1, true, "text") or else plain text."""
    from hpo_pipe.study import open_study
    from storage_schema.records import Enqueue

    study = open_study(url)
    given = configuration(pairs)
    entry = study.enqueue(given)
    _written(entry, "enqueued")
    taken = {name for d in entry.decisions if isinstance(d, Enqueue) for name in d.parameters}
    if left_out := [name for name in given if name not in taken]:
        say(f"left out, because it is inactive beside the others: {', '.join(left_out)}")
    state = study.look()
    if state.history.finished is not None:
        say(f"the study has ended ({state.history.finished}); hpo-pipe limits or hpo-pipe resume reopen it")


@click.command(epilog=examples("hpo-pipe stop ./study", "hpo-pipe stop ./study --trial 7"))
@url_argument
@click.option("--trial", type=Count(min=0), help="Stop this trial instead of the whole study.")
def stop(url: str, trial: int | None) -> None:
    """End the study, or one trial. What runs is told to stop; results so far are kept."""
    from hpo_pipe.study import open_study

    what = "the study" if trial is None else f"trial {trial}"
    _written(open_study(url).stop(trial), f"{what} is being stopped", f"{what} had ended already")


@click.command(epilog=examples("hpo-pipe pause ./study"))
@url_argument
def pause(url: str) -> None:
    """Start nothing new; what runs goes on to the end of its rung."""
    from hpo_pipe.study import open_study

    _written(open_study(url).pause(), "paused; hpo-pipe resume goes on", "paused already, or ended")


@click.command(epilog=examples("hpo-pipe resume ./study"))
@url_argument
def resume(url: str) -> None:
    """Undo pause, or reopen a study that was stopped.

    A study that ended for a limit ends for it again: raise the limit with hpo-pipe limits.
    """
    from hpo_pipe.study import open_study

    study = open_study(url)
    ended = study.look().history.finished
    _written(study.resume(), "the study goes on", "the study was neither paused nor ended")
    if ended is not None:
        say(f"it had ended: {ended}")


@click.command(short_help="Try a failed or stopped trial again.", epilog=examples("hpo-pipe retry ./study 7"))
@url_argument
@trial_argument
def retry(url: str, trial: int) -> None:
    """Give a failed or stopped trial another chance, from its newest checkpoint."""
    from hpo_pipe.study import open_study

    _written(open_study(url).retry(trial), f"trial {trial} will be tried again")


def configuration(pairs: tuple[str, ...]) -> dict[str, Json]:
    """Return ``name=value`` pairs as parameters.

    Raises:
        UserError: no ``=``, no name, or a name given twice.
    """
    from storage_schema.errors import UserError

    found: dict[str, Json] = {}
    for pair in pairs:
        name, mark, text = pair.partition("=")
        if not mark or not name:
            raise UserError(f"{pair!r}: expected NAME=VALUE, as in lr=0.1")
        if name in found:
            raise UserError(f"parameter {name} is given twice")
        found[name] = _value(text)
    return found


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text
    return value


def _written(entry: Entry | None, done: str, nothing: str = "") -> None:
    say(f"{done} (log entry {entry.entry})" if entry else f"{nothing}: nothing to do")
