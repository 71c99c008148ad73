"""``hpo-pipe worker URL``, run as ``python -I -m workers URL``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

import click

from storage_schema.errors import (
    DamagedRecord,
    HpoPipeError,
    StoreRefused,
    StoreUnavailable,
    UserError,
)
from storage_schema.keys import CODE, parse_code_key
from storage_schema.machine import MAX_PRICE, MAX_SLOTS, facts_of
from storage_schema.records import Study
from storage_schema.redaction import RedactedStream
from storage_schema.store import open_store
from storage_schema.store.proof import prove_quickly
from storage_schema.terminal import one_line
from workers.assembly import Plan, StudyRefused, assemble, read_study
from workers.attempt import NotStartable
from workers.budget import PriceWanted, lasts_s
from workers.code import CodeMissing
from workers.coordinator_process import CoordinatorStarter
from workers.here import machine_here
from workers.leaving import Departure, Leaving, leaving_options
from workers.loop import EXIT_FAILED, Ends, Pace, Worker
from workers.own_status import EXIT_INTERRUPTED, status_told
from workers.scratch import scratch_folder
from workers.secrecy import Secrecy, secrecy_options
from workers.secrets import SecretMissing, redacted_forms, warnings
from workers.slots import deal, visible_gpus
from workers.trial_setup import known_redactor, launchers, own_environment, trials_folder
from workers.withholding import close_own_memory, without
from workers.world import World

EXIT_USAGE = 2
EXIT_DAMAGED = 65
EXIT_UNAVAILABLE = 69
EXIT_CONFIGURATION = 78

_EPILOG = """\b
Examples:
  hpo-pipe worker file:///data/studies/digits
  hpo-pipe worker s3://bucket/studies/resnet --slots 4 --gpus-per-trial 2
  hpo-pipe worker s3://bucket/studies/resnet --idle-timeout 600 --max-runtime 13800
  hpo-pipe worker s3://bucket/studies/resnet --secret HF_TOKEN=arn:aws:secretsmanager:eu-west-1:111122223333:secret:hf
  hpo-pipe worker studies/digits -- python train.py --lr {lr}

\b
SIGTERM, SIGUSR1, Ctrl-C and EC2's spot notices let the trials save, give back what is held, and end with 75.
A second one hurries; SIGUSR2, from who passes a signal on, does not, before or after the other.
CUDA_VISIBLE_DEVICES names the GPUs that are dealt out; HPO_PIPE_SCRATCH the folder for scratch files.
HPO_PIPE_OPT_ML=/opt/ml makes that path a link to the running trial's files (layout = "sagemaker", one slot).
HPO_PIPE_PROVIDER, _INSTANCE_TYPE, _REGION and _LIFECYCLE (spot, on-demand) say what `hpo-pipe cost` counts.

\b
Exit codes:
  0    the study has ended, there was nothing to do, or --max-cost
  1    failure
  2    usage error or bad input
  65   a stored record is damaged, or written by a newer hpo-pipe
  69   the store could not be reached at the start
  75   interrupted, or --max-runtime: start it again
  78   configuration error (study refused, program, code or secret not found): do not
  130  Ctrl-C twice
"""


def _digest(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    if text is not None and parse_code_key(f"{CODE}{text}.tar.gz") is None:
        raise click.BadParameter("expected a sha256: 64 digits, 0-9 and a-f", context, option)
    return text


@click.command(
    name="worker",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("url")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--slots",
    type=click.IntRange(1, MAX_SLOTS),
    metavar="N",
    help="Trials at a time.  [default: one for each GPU, else 1]",
)
@click.option(
    "--gpus-per-trial",
    type=click.IntRange(0),
    metavar="N",
    help="GPUs dealt to each trial.  [default: all, divided by the slots]",
)
@click.option(
    "--idle-timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="End after so long with nothing to do.",
)
@click.option(
    "--max-runtime",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Give back what is held after so long, and end with 75.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(0, min_open=True),
    metavar="DOLLARS",
    help="Give back what is held once this machine has cost so much since the start, and end with 0.",
)
@click.option("--drain", is_flag=True, help="End as soon as nothing is claimable and nothing is held.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Folder that trials run in.  [default: this one]",
)
@click.option(
    "--code",
    metavar="SHA256",
    callback=_digest,
    help="Run trials in the code of this sha256, from the study's store.",
)
@secrecy_options
@click.option("--study-sha256", metavar="HEX", help="Run only the study whose study.json has this sha256.")
@click.option(
    "--coordinator/--no-coordinator",
    default=True,
    help="Start a coordinator's tick when none seems to live.  [default: do]",
)
@click.option(
    "--price-per-hour",
    type=click.FloatRange(0, MAX_PRICE),
    metavar="DOLLARS",
    help="What this machine costs, for `hpo-pipe cost`.  [default: HPO_PIPE_PRICE_PER_HOUR]",
)
@click.option("--check", is_flag=True, hidden=True, help="Only look at the options; for who starts workers.")
@leaving_options
@click.option("--name", metavar="NAME", help="Part of this worker's id.  [default: the host's name]")
def worker(
    url: str,
    command: tuple[str, ...],
    slots: int | None,
    gpus_per_trial: int | None,
    idle_timeout: float | None,
    max_runtime: float | None,
    max_cost: float | None,
    drain: bool,
    workdir: Path | None,
    code: str | None,
    secrecy: Secrecy,
    study_sha256: str | None,
    coordinator: bool,
    price_per_hour: float | None,
    check: bool,
    name: str | None,
    leaving: Leaving,
) -> None:
    """Train what the study at URL issues, until it has ended.

    With a command behind ``--`` that one is run, instead of the study's own.
    """
    if code is not None and workdir is not None:
        raise click.UsageError("--code and --workdir: trials run in one folder; give one of them")
    if check:
        return
    if workdir is not None and not workdir.is_dir():
        raise click.BadParameter(f"{str(workdir)!r} is no directory", param_hint="--workdir")
    hired = facts_of(os.environ, price_per_hour)  # noqa: TID251 (an edge)
    lasts = lasts_s(max_cost, hired)
    hired = tuple(sorted((*hired, ("code", code)))) if code else hired
    world = World(store=open_store(url))
    departure = Departure(leaving, os.environ, world)  # noqa: TID251 (an edge)
    study = _with_command(read_study(world, study_sha256), command)
    prove_quickly(world.store, world.token()).demand()
    environment = without(own_environment(), secrecy.withhold)
    secrets = secrecy.read(os.environ)  # noqa: TID251 (an edge)
    if secrets.hidden:
        sys.stderr = _redacted(redacted_forms(secrets.hidden))
    for line in warnings(secrets.hidden):
        world.say(line)
    if secrecy.withhold:
        close_own_memory()
    pool = visible_gpus(environment)
    gpus = deal(pool, slots, gpus_per_trial)
    departure.watch()
    starter = CoordinatorStarter(world.store.url, world.say) if coordinator else None
    with (
        scratch_folder(environment) as scratch,
        trials_folder(world, code, workdir, environment, scratch) as folder,
    ):
        plan = Plan(
            machine=machine_here(name, len(gpus), len({gpu for slot in gpus for gpu in slot}), hired),
            gpus=gpus,
            scratch=scratch,
            pace=Pace.of(world.store.url),
            ends=Ends(idle_timeout_s=idle_timeout, max_runtime_s=max_runtime, max_cost_s=lasts, drain=drain),
        )
        ready = assemble(
            world,
            study,
            plan,
            interruption=departure.interruption,
            make_launcher=launchers(study, environment, secrets, folder),
            start_coordinator=starter,
        )
        status = _until_end(ready, departure, starter)
    departure.close(status)
    sys.exit(status)


def _until_end(ready: Worker, departure: Departure, starter: CoordinatorStarter | None) -> int:
    try:
        status = ready.run()
        if ready.cut_short:
            departure.at_once(status)
        return status
    finally:
        if starter is not None:
            starter.close()


def main() -> None:
    """Run the command line; never returns."""
    with status_told(os.environ):  # noqa: TID251 (an edge)
        _run()


def _run() -> None:
    sys.stderr = _redacted()
    try:
        sys.exit(worker.main(prog_name="hpo-pipe worker", standalone_mode=False) or 0)
    except click.ClickException as error:
        _complain(error.format_message())
        if isinstance(error, click.UsageError):
            print("Try 'hpo-pipe worker --help'.", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except HpoPipeError as error:
        _complain(str(error) or type(error).__name__)
        sys.exit(exit_status(error))
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}")
        sys.exit(EXIT_FAILED)


def _redacted(secrets: Iterable[str] = ()) -> TextIO:
    """Return stderr without secrets: talk, errors and tracebacks."""
    return cast(TextIO, RedactedStream(sys.stderr, known_redactor(secrets=secrets)))


def _complain(words: str) -> None:
    for line in words.splitlines():
        print(f"hpo-pipe: error: {one_line(line)}", file=sys.stderr)


def exit_status(error: HpoPipeError) -> int:
    """Return the exit code that an error of ours ends with."""
    match error:
        case (
            PriceWanted() | StudyRefused() | NotStartable() | StoreRefused() | CodeMissing() | SecretMissing()
        ):
            return EXIT_CONFIGURATION
        case DamagedRecord():
            return EXIT_DAMAGED
        case UserError():
            return EXIT_USAGE
        case StoreUnavailable():
            return EXIT_UNAVAILABLE
    return EXIT_FAILED


def _with_command(study: Study, command: tuple[str, ...]) -> Study:
    if not command:
        return study
    return replace(study, program=replace(study.program, command=command, function=""))


if __name__ == "__main__":
    main()
