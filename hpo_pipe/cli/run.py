"""``hpo-pipe run``: a whole study on this machine in one command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import StudyUrl, examples
from hpo_pipe.cli.failures import CONFIGURATION, CTRL_C, FAILURE, INTERRUPTED, complain
from hpo_pipe.cli.output import print_lines, say
from hpo_pipe.count_type import Count, Number
from storage_schema.machine import MAX_PRICE

if TYPE_CHECKING:
    from hpo_pipe.launch.children import Children
    from hpo_pipe.launch.session import Ending
    from hpo_pipe.report.state import StudyState
    from hpo_pipe.study import OpenStudy

STUDIES = Path("hpo-pipe-studies")
MAX_WORKERS = 256


@click.command(
    short_help="Work on a study here until it ends, in one command.",
    epilog=examples(
        "hpo-pipe run study.toml                              in ./hpo-pipe-studies/<name>",
        "hpo-pipe run study.toml ./digits-study --workers 2",
        "hpo-pipe run study.toml s3://bucket/studies/first --workers 1 --slots 4",
    ),
)
@click.argument("study_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("url", type=StudyUrl(), required=False)
@click.option("--workers", type=Count(1, MAX_WORKERS), default=1, show_default=True, help="Worker processes.")
@click.option("--slots", type=Count(min=1), help="Trials at a time in each worker.")
@click.option("--gpus-per-trial", type=Count(min=0), help="GPUs dealt to each trial.")
@click.option(
    "--price-per-hour",
    type=Number(0, MAX_PRICE),
    metavar="DOLLARS",
    help="What this machine costs, shared by the workers: for a study that has a budget.",
)
@click.option(
    "--seed", type=Count(min=0), help="Of all random draws; else the study file's, or a random one."
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for what coordinator and workers print.",
)
def run(
    study_file: Path,
    url: str | None,
    workers: int,
    slots: int | None,
    gpus_per_trial: int | None,
    price_per_hour: float | None,
    seed: int | None,
    logs: Path | None,
) -> int:
    """Create or reopen a study and work on it here, until it ends.

    Ctrl-C: workers leave checkpoints and hand back what they hold; run the same command again to go on. Ctrl-C
    twice ends at once; nothing is lost then but the work since the last checkpoints.
    """
    from hpo_pipe.creation import create, drafted
    from hpo_pipe.study import OpenStudy
    from storage_schema.store import open_store, study_url

    draft = drafted(study_file)
    store = open_store(url or study_url(str(STUDIES / draft.name)))
    creation = create(store, draft, seed=seed, say=say)
    study = OpenStudy(store)
    say(f"{'created' if creation.created else 'going on with'} {study.url}")
    _note_another_python(creation.study.program.command)
    if study.finished:
        return _end(study, "the study has ended already")
    options = _options({"--slots": slots, "--gpus-per-trial": gpus_per_trial})
    share = _options({"--price-per-hour": None if price_per_hour is None else price_per_hour / workers})
    folder = study_file.absolute().parent
    where = logs or STUDIES / f"{creation.study.name}.logs"
    children = _children(study.url, workers, [*options, *share], folder, where)
    own = _options({"--price-per-hour": price_per_hour, "--logs": logs})
    again = _again(study_file, url, workers, [*options, *own])
    return _leave(_session(study, children), study, children, again)


def _again(study_file: Path, url: str | None, workers: int, options: list[str]) -> str:
    """Return the command that goes on with the same study in the same way."""
    import shlex

    place = [] if url is None else [url]
    many = [] if workers == 1 else ["--workers", str(workers)]
    return shlex.join(["hpo-pipe", "run", str(study_file), *place, *many, *options])


def _options(given: Mapping[str, object]) -> list[str]:
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]


def _children(url: str, workers: int, options: list[str], folder: Path, logs: Path) -> Children:
    from hpo_pipe.isolation import isolated_command
    from hpo_pipe.launch.children import Child, Children

    logs.mkdir(parents=True, exist_ok=True)
    logs = logs.absolute()

    def child(name: str, command: list[str]) -> Child:
        return Child(name=name, command=command, folder=folder, log=logs / f"{name}.log")

    return Children(
        coordinator=child("coordinator", isolated_command("hpo_pipe", "coordinator", url, "--until-done")),
        workers=[
            child(f"worker-{number}", isolated_command("workers", url, *options))
            for number in range(1, workers + 1)
        ],
    )


def _session(study: OpenStudy, children: Children) -> Ending:
    from hpo_pipe.cli.progress import progress
    from hpo_pipe.launch.session import Session
    from storage_schema.clock import SystemClock

    look_s = 0.5 if study.url.startswith("file:") else 2.0
    with progress() as show:
        return Session(study, children, SystemClock(), look_s, show).run()


def _leave(ending: Ending, study: OpenStudy, children: Children, again: str) -> int:
    from hpo_pipe.launch.session import Ending

    match ending:
        case Ending.DONE:
            return _end(study, "")
        case Ending.INTERRUPTED | Ending.AT_ONCE:
            say(f"interrupted; go on with: {again}")
            return INTERRUPTED if ending is Ending.INTERRUPTED else CTRL_C
        case Ending.REFUSED:
            child = children.refused
            assert child is not None
            for line in child.tail():
                say(f"  | {line}")
            complain(
                f"{child.name} refused to work (exit status {child.status}; its output is in {child.log})"
            )
            return CONFIGURATION
        case Ending.FAILED:
            logs = children.coordinator.log.parent
            complain(f"the children have ended, and the study has not; their output is in {logs}")
            say(f"when the cause is mended, go on with: {again}")
            return FAILURE


def _end(study: OpenStudy, note: str) -> int:
    from hpo_pipe.report.status import best_line
    from hpo_pipe.report.trials import best_of
    from hpo_pipe.report.words import plain

    state = study.look()
    say(note or f"the study has ended: {state.history.finished}")
    found = best_of(state)
    if found is None:
        return _end_of_nothing(study, state)
    say(f"best: {best_line(state, found)}")
    print_lines([f"{name}={plain(value)}" for name, value in found.params.items()])
    say(f"\nThe study lies at {study.url}. Next:")
    say(f"  hpo-pipe status {study.url}")
    say(f"  hpo-pipe trials {study.url} --sort value")
    say(f"  hpo-pipe why {found.study or study.url} {found.number}")
    say(
        f"  hpo-pipe limits {study.url} --trials {2 * max(1, len(state.history.trials))}    and run again, to go on"
    )
    return 0


def _end_of_nothing(study: OpenStudy, state: StudyState) -> int:
    """Show the newest failure: it is most likely the cause of all."""
    from hpo_pipe.report.evidence import gather
    from hpo_pipe.report.front import without_best
    from hpo_pipe.report.why import why_lines

    say(f"The study lies at {study.url}.")
    failed = next((trial for trial in reversed(state.history.trials) if trial.failed), None)
    if failed is not None:
        for line in why_lines(state, failed, gather(study.store, state.history, failed.number)):
            say(f"  | {line}")
    said = without_best(state)
    complain(said if "bounds" in said else "no trial reported a finite value")
    return FAILURE


def _note_another_python(command: tuple[str, ...]) -> None:
    """A `python` found on PATH that is not the one with hpo-pipe in it is a usual reason why every trial fails."""
    import os
    import shutil
    import sys

    from storage_schema.trial_env import trial_path

    if not command or command[0] not in ("python", "python3"):
        return
    own = str(Path(sys.executable).parent)
    environment = os.environ  # noqa: TID251 (an edge)
    path = trial_path(
        environment.get("PATH", os.defpath),
        environment,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        scripts=own,
    )
    found = shutil.which(command[0], path=path)
    if found and Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        say(f"note: trials run {found}, found on PATH; hpo-pipe itself runs in {sys.executable}")
