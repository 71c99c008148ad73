"""``hpo-pipe logs``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples, trial_argument, url_argument
from hpo_pipe.cli.output import print_output, say
from hpo_pipe.count_type import Count

if TYPE_CHECKING:
    from hpo_pipe.study import OpenStudy
    from storage_schema.keys import SpecId
    from storage_schema.store import Store
    from storage_schema.trial_state import TrialState

FOLLOW_S = 2.0
_LEFT_OUT = re.compile(rb"^\.\.\. (\d+) bytes left out \.\.\.$", re.MULTILINE)
_OVERLAP = 4096


@click.command(
    short_help="Print what a trial printed.",
    epilog=examples(
        "hpo-pipe logs ./study 7",
        "hpo-pipe logs ./study 7 --attempt 1",
        "hpo-pipe logs ./study 7 --follow           as far as workers have uploaded it",
    ),
)
@url_argument
@trial_argument
@click.option(
    "--spec", "spec_text", metavar="SPEC", help="A piece of the trial, as `why` names it; else the newest."
)
@click.option("--attempt", type=Count(min=1), help="The attempt; else the newest that printed something.")
@click.option("--follow", "-f", is_flag=True, help="Go on while the trial is waiting or running.")
def logs(url: str, trial: int, spec_text: str | None, attempt: int | None, follow: bool) -> int:
    """Print what a trial printed: of each attempt the first and the last MiB."""
    from hpo_pipe.report.evidence import trial_numbered
    from hpo_pipe.study import open_study

    study = open_study(url)
    found = trial_numbered(study.look().history, trial)
    if follow:
        return _follow(study, trial)
    output = _newest(study.store, found, _spec(found, spec_text), attempt)
    if output is None:
        return _without_output(study.store, found)
    say(f"trial {trial}, spec {output.spec}, attempt {output.attempt}")
    print_output(output.data)
    if left_out := _LEFT_OUT.search(output.data):
        say(f"{int(left_out[1]):,} bytes between the beginning and the end were not kept")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    spec: SpecId
    attempt: int
    data: bytes


def _spec(trial: TrialState, text: str | None) -> SpecId | None:
    from storage_schema.errors import UserError

    if text is None:
        return None
    found = next((spec.id for spec in trial.specs if str(spec.id) == text), None)
    if found is None:
        names = ", ".join(str(spec.id) for spec in trial.specs)
        raise UserError(f"spec {text!r}: those of trial {trial.number} are {names}")
    return found


def _newest(store: Store, trial: TrialState, spec: SpecId | None, attempt: int | None) -> _Output | None:
    from storage_schema.keys import output_key, output_prefix, parse_output_key
    from storage_schema.store import Blob

    for place in [spec] if spec else [s.id for s in reversed(trial.specs)]:
        listed = (parse_output_key(stat.key) for stat in store.list(output_prefix(place)))
        attempts = sorted((found[1] for found in listed if found), reverse=True)
        for number in attempts if attempt is None else [n for n in attempts if n == attempt]:
            blob = store.get(output_key(place, number))
            if isinstance(blob, Blob):
                return _Output(spec=place, attempt=number, data=blob.data)
    return None


def _without_output(store: Store, trial: TrialState) -> int:
    """Fall back on the tail in the record of a failure."""
    from storage_schema.chain import read_chain

    for spec in reversed(trial.specs):
        for link in reversed(read_chain(store, spec.id)):
            if link.tail:
                say(
                    f"trial {trial.number}, spec {spec.id}: the end of its output, from the record of its failure"
                )
                print_output(link.tail.encode() + b"\n")
                return 0
    if trial.open or not trial.specs:
        say(
            f"trial {trial.number} has no output in the store yet: workers upload it now and then, and at the end"
        )
        return 1
    say(f"trial {trial.number} printed nothing")
    return 0


def _follow(study: OpenStudy, number: int) -> int:
    from storage_schema.clock import SystemClock

    shown: _Output | None = None
    while True:
        trial = study.look().history.trials[number]
        output = _newest(study.store, trial, None, None)
        if output is not None:
            same = shown is not None and (shown.spec, shown.attempt) == (output.spec, output.attempt)
            if not same:
                say(f"trial {number}, spec {output.spec}, attempt {output.attempt}")
            print_output(added(shown.data if shown and same else b"", output.data))
            shown = output
        if not trial.open:
            return 0
        SystemClock().sleep(FOLLOW_S)


def added(before: bytes, now: bytes) -> bytes:
    """Return what `now` shows that `before` did not, also where its middle was left out meanwhile."""
    if now.startswith(before):
        return now[len(before) :]
    end = before[-_OVERLAP:]
    place = now.rfind(end)
    if place >= 0:
        return now[place + len(end) :]
    left_out = _LEFT_OUT.search(now)
    return now[left_out.start() :] if left_out else now
