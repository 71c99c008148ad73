"""``hpo-pipe import``: other systems' requests as study files."""

from __future__ import annotations

from pathlib import Path

import click

from hpo_pipe.cli.arguments import examples
from hpo_pipe.cli.output import say
from hpo_pipe.count_type import Count


@click.group(
    name="import",
    short_help="Turn a SageMaker tuning job into a study file.",
    epilog=examples("hpo-pipe import sagemaker tuning-job.json study.toml"),
)
def importing() -> None:
    """Turn another system's request into a study file. W&B sweep files need no import: `create` and `run` take them."""


@importing.command(
    short_help="A CreateHyperParameterTuningJob request.",
    epilog=examples(
        "hpo-pipe import sagemaker tuning-job.json                  prints the study file",
        "hpo-pipe import sagemaker tuning-job.json study.toml       writes it",
        "hpo-pipe import sagemaker tuning-job.json --definition xgboost",
        "hpo-pipe import sagemaker tuning-job.json --parent last-month=s3://bucket/studies/last-month",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--definition", metavar="NAME", help="Which one of several TrainingJobDefinitions.")
@click.option(
    "--parent",
    "parents",
    metavar="JOB=URL",
    multiple=True,
    help="The study that stands for a tuning job in WarmStartConfig; repeat it for others.",
)
@click.option(
    "--max-resource",
    type=Count(min=1),
    help="How often a whole training reports its objective, where the request does not say.",
)
def sagemaker(
    file: str,
    path: Path | None,
    definition: str | None,
    parents: tuple[str, ...],
    max_resource: int | None,
) -> None:
    """Turn a CreateHyperParameterTuningJob request into a study file.

    FILE is JSON, as boto3 and the AWS CLI take it, or what describe-hyper-parameter-tuning-job prints;
    - is stdin. The study file is printed, or written to PATH;
    nothing is overwritten. All that it does not carry over is listed on stderr and in its comments, by its
    path in the request.
    """
    from hpo_pipe.study_file.load import MAX_BYTES
    from hpo_pipe.tuning_job import import_tuning_job, load_request

    where = "stdin" if file == "-" else file
    with click.open_file(file, "rb") as stream:
        raw = load_request(stream.read(MAX_BYTES + 1), where)
    imported = import_tuning_job(
        raw, where, definition=definition, parents=_urls(parents), max_resource=max_resource
    )
    if path is None:
        click.echo(imported.text, nl=False)
    else:
        _write(path, imported.text)
    for note in imported.notes:
        say(f"note: {note}")
    for item in imported.left_out:
        say(f"not carried over: {item.path}: {item.reason}")
    if path is not None:
        say(f"written: {path}; now: hpo-pipe run {path}")


def _urls(parents: tuple[str, ...]) -> dict[str, str]:
    from storage_schema.errors import UserError
    from storage_schema.store import study_url

    urls: dict[str, str] = {}
    for given in parents:
        name, equals, url = given.partition("=")
        if not (name and equals and url) or name in urls:
            raise UserError(f"--parent {name}: expected JOB=URL, once for each job")
        urls[name] = study_url(url)
    return urls


def _write(path: Path, text: str) -> None:
    from storage_schema.errors import UserError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists, and nothing is overwritten: name another path") from None
