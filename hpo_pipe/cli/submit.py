"""``hpo-pipe submit TARGET``: starts workers somewhere. Each target brings its own options."""

from __future__ import annotations

from importlib import import_module

import click

from hpo_pipe.cli.arguments import examples


class _Targets(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        from hpo_pipe.launch import launchers

        return sorted(launchers())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from hpo_pipe.launch import launchers

        target = launchers().get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(
    short_help="Start workers on a target.",
    cls=_Targets,
    epilog=examples("hpo-pipe submit local ./study --workers 4"),
)
def submit() -> None:
    """Start workers on a target; `hpo-pipe submit TARGET --help` shows its options."""
