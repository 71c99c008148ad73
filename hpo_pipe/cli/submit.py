"""``hpo-pipe submit TARGET``: starts workers somewhere. Each target brings its own options."""

from __future__ import annotations

from importlib import import_module

import click

from hpo_pipe.cli.arguments import examples

COMPANIONS: dict[str, str] = {
    "policy": "hpo_pipe.cli.policy:policy",
}
"""What goes with all targets, and is none: name to ``module:command``. No target may take such a name."""


class _Targets(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_targets(), *COMPANIONS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMPANIONS.get(cmd_name) or _targets().get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write targets and companions under headings of their own."""
        for heading, names in (("Targets", list(_targets())), ("Beside them", list(COMPANIONS))):
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(name, c.get_short_help_str(80)) for name, c in found if c])


def _targets() -> dict[str, str]:
    from hpo_pipe.launch import launchers

    return {name: target for name, target in sorted(launchers().items()) if name not in COMPANIONS}


@click.command(
    short_help="Start workers on a target; print policies.",
    cls=_Targets,
    epilog=examples(
        "hpo-pipe submit local ./study --workers 4",
        "hpo-pipe submit policy s3://bucket/studies/first --role worker",
    ),
)
def submit() -> None:
    """Start workers on a target; `hpo-pipe submit TARGET --help` shows its options."""
