"""``hpo-pipe train``, run as ``python -I -m workers.sagemaker``: a SageMaker training job that is one worker.

SageMaker starts an image with the argument ``train`` and lays its request out as files below ``/opt/ml``:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import click

from storage_schema.clock import SystemClock
from storage_schema.errors import HpoPipeError, UserError
from storage_schema.redaction import RedactedStream
from storage_schema.sagemaker import OPTIONS, worker_arguments
from storage_schema.terminal import one_line
from workers.__main__ import EXIT_CONFIGURATION, exit_status, worker
from workers.loop import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from workers.sagemaker_layout import CHANNEL, FAILURE, INSTANCE_TYPE, OPT_ML
from workers.trial_setup import known_redactor

ROOT = "HPO_PIPE_SAGEMAKER_ROOT"
"""Where SageMaker's files are; ``/opt/ml`` if it is not set."""
GRACE_S = 120
"""Between SageMaker's SIGTERM and its SIGKILL."""
MAX_BYTES = 1024 * 1024
MAX_FAILURE = 1024
"""Characters that SageMaker reads."""
MAX_WORKER_NAME = 36

_EPILOG = f"""\b
Examples:
  hpo-pipe train                            in a SageMaker training job
  docker run -v $PWD/ml:{OPT_ML} IMAGE train  as SageMaker does it, with files of yours

\b
A training job carries the worker's options as hyper-parameters:
  study              the study's URL; the only one that must be there
  command            a JSON list: run this instead of the study's own command
  {", ".join(list(OPTIONS)[:5])},
  {", ".join(list(OPTIONS)[5:11])},
  {", ".join(list(OPTIONS)[11:])}
They are those of hpo-pipe worker; secret and withhold are JSON lists, flags are true or false.

\b
Input channels become SM_CHANNEL_<NAME>, for trials with layout = "sagemaker".
{ROOT} names another folder than {OPT_ML}.

\b
Exit codes (why is in {OPT_ML}/{FAILURE}, except after 0 and 75):
  0    the study has ended, there was nothing to do, or max_runtime was over: the job is Completed
  75   interrupted: SIGTERM, which StopTrainingJob, a limit or a spot interruption sends
  78   configuration error: Failed
  1, 2, 65, 69  as for hpo-pipe worker: Failed
"""


@click.command(
    name="train",
    epilog=_EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "ignore_unknown_options": True,
    },
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
def train(arguments: tuple[str, ...]) -> None:
    """Be the worker that a SageMaker training job stands for; what an image's `train` runs.

    One job is one worker, on each of its hosts, for as many trials as there are.
    """
    root = Path(os.environ.get(ROOT) or OPT_ML)  # noqa: TID251 (an edge)
    status, reason = _ended(lambda: _work(root, arguments))
    if reason:
        _write_failure(root, reason)
    sys.exit(status)


def job_arguments(root: Path, environment: MutableMapping[str, str]) -> list[str]:
    """Return the arguments of ``hpo-pipe worker`` for the job below `root`; put what is known of it into `environment`.

    Raises:
        UserError: a file that is missing or is not what SageMaker writes, or a wrong hyper-parameter.
    """
    config = root / "input" / "config"
    hyperparameters = _object(config / "hyperparameters.json")
    for name, value in hyperparameters.items():
        if not isinstance(value, str):
            found = f"{name[:80]} is {str(value)[:80]!r}"
            raise UserError(
                f"{config / 'hyperparameters.json'}: {found}, expected a text, as all values there are"
            )
    resources = _object(config / "resourceconfig.json")
    host, hosts = _host(config / "resourceconfig.json", resources)
    arguments = worker_arguments(hyperparameters)
    job = environment.get("TRAINING_JOB_NAME", "")
    own = [f"--name={_worker_name(job, host, several=len(hosts) > 1)}"]
    facts = {
        "HPO_PIPE_PROVIDER": "sagemaker",
        INSTANCE_TYPE: resources.get("current_instance_type"),
        "HPO_PIPE_REGION": _region(environment),
    }
    for name, value in facts.items():
        if isinstance(value, str) and value:
            environment.setdefault(name, value)
    _tell_channels(root, config / "inputdataconfig.json", environment)
    return [*own, *arguments]  # what the job says comes later, and holds


def _work(root: Path, extra: tuple[str, ...]) -> int:
    if extra:
        raise UserError(
            f"train takes no arguments, found {extra[0][:80]!r}: a worker's options are hyper-parameters"
        )
    clock = SystemClock()
    began = clock.monotonic()
    arguments = job_arguments(root, os.environ)  # noqa: TID251 (an edge)
    context = worker.make_context("hpo-pipe train", list(arguments))
    try:
        with context:
            worker.invoke(context)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else EXIT_FAILED
        limit_s = context.params["max_runtime"]
        if status == EXIT_INTERRUPTED and limit_s is not None and clock.monotonic() - began >= limit_s:
            return EXIT_DONE  # by its own clock: nobody starts a job again for its exit code, and it did not fail
        return status
    return EXIT_DONE


def _ended(work: Callable[[], int]) -> tuple[int, str]:
    """Run it; return the exit status, and why it is not 0."""
    try:
        return work(), ""
    except click.ClickException as error:
        reason, status = error.format_message(), EXIT_CONFIGURATION
    except HpoPipeError as error:
        reason, status = str(error) or type(error).__name__, exit_status(error)
        if status == click.UsageError.exit_code:
            status = EXIT_CONFIGURATION  # of a job, all that a user gives is configuration
    except OSError as error:
        reason, status = f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_FAILED
        if not error.filename:
            traceback.print_exc()
    except Exception as error:
        reason, status = f"{type(error).__name__}: {error}", EXIT_FAILED
        traceback.print_exc()
    for line in reason.splitlines():
        print(f"hpo-pipe: error: {one_line(line)}", file=sys.stderr)
    return status, reason


def _write_failure(root: Path, reason: str) -> None:
    """Leave the reason where SageMaker takes its FailureReason from."""
    stream = sys.stderr
    redactor = stream.redactor if isinstance(stream, RedactedStream) else known_redactor()
    text = "\n".join(map(one_line, redactor.text(reason).splitlines()))[:MAX_FAILURE]
    path = root / FAILURE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        print(f"hpo-pipe: error: {path} could not be written: {error.strerror}", file=sys.stderr)


def _object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}: `train` is for SageMaker training jobs; elsewhere there is `hpo-pipe worker`"
        ) from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds {type(found).__name__}, expected an object")
    return found


def _host(path: Path, resources: Mapping[str, Any]) -> tuple[str, list[str]]:
    host, hosts = resources.get("current_host"), resources.get("hosts")
    if not isinstance(host, str) or not isinstance(hosts, list) or host not in hosts:
        found = f"current_host is {str(host)[:80]!r} and hosts is {str(hosts)[:80]!r}"
        raise UserError(f"{path}: {found}, expected a text, and a list that it is in")
    return host, hosts


def _worker_name(job: str, host: str, *, several: bool) -> str:
    """Return the job's name; with several hosts the host's too, at its end, which a long name must not cost."""
    if not job:
        return host
    return f"{job[: MAX_WORKER_NAME - len(host) - 1].rstrip('-')}-{host}" if several else job


def _region(environment: Mapping[str, str]) -> str:
    """Return the region out of ``arn:aws:sagemaker:eu-west-1:111122223333:training-job/name``."""
    parts = environment.get("TRAINING_JOB_ARN", "").split(":")
    return parts[3] if len(parts) > 3 and parts[0] == "arn" else environment.get("AWS_REGION", "")


def _tell_channels(root: Path, path: Path, environment: MutableMapping[str, str]) -> None:
    """Let trials find the job's input; channels of the mode Pipe are streams for one reader, and left out."""
    if not path.exists():
        return
    found = [name for name in _object(path) if (root / "input" / "data" / name).is_dir()]
    for name in found:
        environment.setdefault(f"{CHANNEL}{name.upper()}", str(root / "input" / "data" / name))
    if found:
        environment.setdefault("SM_CHANNELS", json.dumps(sorted(found)))


def main() -> None:
    """Run the command line; never returns."""
    sys.stderr = cast(TextIO, RedactedStream(sys.stderr, known_redactor()))
    train.main(prog_name="hpo-pipe train")


if __name__ == "__main__":
    main()
