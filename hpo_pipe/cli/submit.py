"""``hpo-pipe submit TARGET``: starts workers somewhere. Each target brings its own options."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from hpo_pipe.cli.arguments import StudyUrl, examples

COMPANIONS: dict[str, str] = {
    "status": "hpo_pipe.cli.submissions:status",
    "cancel": "hpo_pipe.cli.submissions:cancel",
    "logs": "hpo_pipe.cli.submissions:logs",
    "reconcile": "hpo_pipe.cli.reconcile:reconcile",
    "policy": "hpo_pipe.cli.policy:policy",
}
"""What goes with all targets, and is none: name to ``module:command``. No target may take such a name."""


class _Targets(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_targets(), *COMPANIONS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMPANIONS:
            module, _, name = COMPANIONS[cmd_name].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return _target_command(cmd_name) if cmd_name in _targets() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, naming the nearest one for a wrong name."""
        from storage_schema.errors import nearest

        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no target {args[0]!r}{nearest(args[0], known)}; allowed: {', '.join(known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write targets and companions under headings of their own."""
        for heading, names in (("Targets", _targets()), ("Beside them", list(COMPANIONS))):
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(name, c.get_short_help_str(80)) for name, c in found if c])


def _targets() -> list[str]:
    from hpo_pipe.launch import launchers

    return [name for name in launchers() if name not in COMPANIONS]


def _owners(option: str) -> list[str]:
    """Return the targets that have an option."""
    from hpo_pipe.cli.submit_options import common_options
    from hpo_pipe.launch import find_target

    found = []
    for name in _targets():
        target = find_target(name)
        if any(option in made.opts for made in (*common_options(target), *target.options)):
            found.append(name)
    return found


def _target_command(name: str) -> click.Command:
    from hpo_pipe.cli.submit_options import common_options
    from hpo_pipe.cli.target_command import TargetCommand
    from hpo_pipe.launch import find_target

    target = find_target(name)

    def callback(url: str, arguments: tuple[str, ...], **given: Any) -> int:
        from hpo_pipe.cli.submitting import submit_to

        return submit_to(target, url, given, arguments)

    return TargetCommand(
        name,
        owners=_owners,
        callback=callback,
        params=[
            click.Argument(["url"], type=StudyUrl()),
            *common_options(target),
            *target.options,
            click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="[-- WORKER_OPTIONS...]"),
        ],
        help=target.help,
        short_help=target.summary,
        epilog=examples(*target.examples),
    )


@click.command(
    short_help="Start workers on a target; look after them.",
    cls=_Targets,
    epilog=examples(
        "hpo-pipe submit local ./study --workers 4",
        "hpo-pipe submit slurm /shared/study --workers 16 --gpus 1 --time 4:00:00 --partition spot",
        "hpo-pipe submit status s3://bucket/studies/first",
        "hpo-pipe submit reconcile s3://bucket/studies/first --max-workers 16      again and again, from cron",
        "hpo-pipe submit policy s3://bucket/studies/first --role worker",
    ),
)
def submit() -> None:
    """Start workers on a target; `hpo-pipe submit TARGET --help` shows its options.

    A submission is recorded in the study before the target is asked, so that a crash or a second launcher starts
    nothing twice. Workers end by themselves: with the study, or when they have nothing to do for --idle-timeout.
    """
