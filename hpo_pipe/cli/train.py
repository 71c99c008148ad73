"""``hpo-pipe train``: becomes ``python -I -m workers.sagemaker``, which is a worker as SageMaker starts it."""

from __future__ import annotations

import os

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Be a worker that SageMaker starts (`docker run IMAGE train`).",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train(arguments: tuple[str, ...]) -> None:
    """Hand over to the training side; no shell stands between SageMaker's signals and the worker."""
    from hpo_pipe.isolation import isolated_command

    command = isolated_command("workers.sagemaker", *arguments)
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
