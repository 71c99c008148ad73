"""The command ``hpo-pipe`` itself. Each command's module is imported when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from hpo_pipe.cli.failures import ReaderGone, exit_code

SECTIONS: dict[str, dict[str, str]] = {
    "Begin": {
        "new": "hpo_pipe.cli.new:new",
        "import": "hpo_pipe.cli.importing:importing",
        "create": "hpo_pipe.cli.create:create",
        "run": "hpo_pipe.cli.run:run",
    },
    "Work": {
        "coordinator": "hpo_pipe.cli.coordinator:coordinator",
        "worker": "hpo_pipe.cli.worker:worker",
        "submit": "hpo_pipe.cli.submit:submit",
        "train": "hpo_pipe.cli.train:train",
    },
    "Look": {
        "status": "hpo_pipe.cli.status:status",
        "trials": "hpo_pipe.cli.trials:trials",
        "best": "hpo_pipe.cli.best:best",
        "why": "hpo_pipe.cli.why:why",
        "logs": "hpo_pipe.cli.logs:logs",
        "cost": "hpo_pipe.cli.cost:cost",
    },
    "Steer": {
        "enqueue": "hpo_pipe.cli.steer:enqueue",
        "stop": "hpo_pipe.cli.steer:stop",
        "pause": "hpo_pipe.cli.steer:pause",
        "resume": "hpo_pipe.cli.steer:resume",
        "retry": "hpo_pipe.cli.steer:retry",
        "limits": "hpo_pipe.cli.limits:limits",
    },
    "Check": {
        "doctor": "hpo_pipe.cli.doctor:doctor",
        "simulate": "hpo_pipe.cli.simulate:simulate",
        "replay": "hpo_pipe.cli.replay:replay",
        "completion": "hpo_pipe.cli.completion:completion",
    },
}
"""Heading to command to ``module:object``, in the order of ``--help``."""

COMMANDS = {name: target for commands in SECTIONS.values() for name, target in commands.items()}


class LazyGroup(click.Group):
    """A group whose commands are modules, and whose failures end in one line and a documented exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, naming the nearest one for a wrong name."""
        from storage_schema.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no command {args[0]!r}{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        width = formatter.width - 6 - max(map(len, COMMANDS))
        for heading, commands in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in commands]
            with formatter.section(heading):
                formatter.write_dl([(name, c.get_short_help_str(width)) for name, c in found if c])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would answer a closed pipe with exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> None:
        """Run one command and leave with its exit code; never returns."""
        extra["standalone_mode"] = False
        sys.exit(exit_code(lambda: super(LazyGroup, self).main(args, prog_name, **extra)))


EPILOG = """\b
A first study:
  hpo-pipe new --example digits digits      an example with its training script
  hpo-pipe run digits/study.toml            tune it here; Ctrl-C and run again to go on

\b
A study that many machines work on:
  hpo-pipe create study.toml s3://bucket/studies/first
  hpo-pipe coordinator s3://bucket/studies/first
  hpo-pipe worker s3://bucket/studies/first

\b
A study URL is s3://bucket/prefix, file:///folder, or a plain folder.
Data goes to stdout, talk to stderr. NO_COLOR is honoured.

\b
Exit codes:
    0  done, or nothing to do
    1  failure
    2  a wrong command line, or bad input
   65  a stored record is damaged, or written by a newer hpo-pipe
   69  the store cannot be used now
   75  interrupted: start it again to go on
   78  a configuration error: study or store refused, command not found
  130  Ctrl-C
  141  the reader of the output went away
"""


@click.command(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="hpo-pipe", message="hpo-pipe %(version)s")
def cli() -> None:
    """Tune hyper-parameters through a bucket or a folder.

    A coordinator decides what to train next, any number of workers train it, and they meet only in storage.
    """
