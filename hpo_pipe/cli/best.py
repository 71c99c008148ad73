"""``hpo-pipe best``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import on_terminal, print_grid, print_json, print_lines, say

if TYPE_CHECKING:
    from hpo_pipe.report.state import StudyState
    from hpo_pipe.report.trials import Trial
    from storage_schema.codec import Json


@click.command(
    short_help="Print the best configuration.",
    epilog=examples(
        "hpo-pipe best s3://bucket/studies/first", "hpo-pipe best ./study --json | jq .params > best.json"
    ),
)
@url_argument
@json_option
def best(url: str, as_json: bool) -> int:
    """Print the best configuration: the best trial of the greatest resource measured, within all bounds.

    One parameter per line, as name=value. Of a study that started from others of the same task, it may be one of
    theirs; the line above says of which. With several objectives, the table of all trials on the front. Exits with 1
    while nothing was measured, or nothing is within bounds.
    """
    from hpo_pipe.report.front import without_best
    from hpo_pipe.report.status import best_line
    from hpo_pipe.report.trials import best_of
    from hpo_pipe.report.words import plain
    from hpo_pipe.study import open_study

    state = open_study(url).look()
    if len(state.study.objectives) > 1:
        return _front(state, as_json)
    found = best_of(state)
    if found is None:
        say(without_best(state))
        return 1
    if as_json:
        print_json(found.to_json() | _lineage_json(state, found))
        return 0
    say(best_line(state, found))
    print_lines([f"{name}={plain(value)}" for name, value in found.params.items()])
    _tell_lineage(state, found)
    return 0


def _lineage_json(state: StudyState, found: Trial) -> dict[str, Json]:
    """Return what a configuration alone does not say of a trial in a study with clones: nothing in others."""
    from hpo_pipe.report.lineage import checkpoint_place, result_checkpoint, schedule_of

    if state.study.keep_checkpoints != "all" or found.study:
        return {}
    checkpoint = result_checkpoint(state.history, found.number, found.rung)
    schedule = schedule_of(state.history, found.number, found.resource)
    return {
        "schedule": [stretch.to_json() for stretch in schedule],
        "checkpoint": f"{state.url}/{checkpoint_place(checkpoint)}" if checkpoint else None,
    }


def _tell_lineage(state: StudyState, found: Trial) -> None:
    from hpo_pipe.report.lineage import schedule_lines

    lineage = _lineage_json(state, found)
    if lineage.get("checkpoint"):
        say(f"its checkpoint: {lineage['checkpoint']}")
    for line in schedule_lines(state.history, found.number, found.resource) if lineage else []:
        say(line)


def _front(state: StudyState, as_json: bool) -> int:
    from hpo_pipe.report.front import front_line, front_of, without_best
    from hpo_pipe.report.trials import trials_grid

    front = front_of(state)
    if not front.trials:
        say(without_best(state))
        return 1
    if as_json:
        print_json(front.to_json())
        return 0
    say(front_line(state, front))
    print_grid(trials_grid(state, front.trials, exact=not on_terminal()))
    return 0
