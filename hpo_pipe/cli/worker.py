"""``hpo-pipe worker``: becomes ``python -I -m workers``, which is the training side."""

from __future__ import annotations

import os

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Train what the study issues.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Hand over to the training side with the same arguments; `hpo-pipe worker --help` is its own."""
    from hpo_pipe.isolation import isolated_command

    command = isolated_command("workers", *arguments)
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
