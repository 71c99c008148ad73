"""The command line of one target: mistakes that click lets pass, or tells less well."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import click

from hpo_pipe.launch.order import HIRING, Order
from storage_schema.errors import UserError

CHECK_LIMIT_S = 60.0


class TargetCommand(click.Command):
    """``hpo-pipe submit TARGET``. What stands behind ``--`` are options of the worker; before it there is one URL."""

    def __init__(self, name: str, *, owners: Callable[[str], list[str]], **given: Any) -> None:
        super().__init__(name, **given)
        self._owners = owners
        """Which targets have an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse a second URL, two ways of hiring, and options that other targets have."""
        own = args[: args.index("--")] if "--" in args else list(args)
        behind = len(args) - len(own) - 1
        if not ctx.resilient_parsing:
            ways = [f"--{way}" for way in HIRING if f"--{way}" in own]
            if len(ways) > 1:
                ctx.fail(f"{' and '.join(ways)}: give one of them")
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            owners = self._owners(error.option_name)
            if not owners:
                raise
            words = f"{self.name} has no option {error.option_name}; it is one of {', '.join(owners)}"
            raise click.UsageError(words, ctx) from None
        found: Sequence[str] = ctx.params.get("arguments") or ()
        if len(found) > max(0, behind) and not ctx.resilient_parsing:
            ctx.fail(f"{found[0]!r}: one URL is expected, and options of the worker behind --")
        return rest


def check_worker_options(order: Order) -> None:
    """Hold what stands behind ``--`` against the worker's own command line, before a machine is hired for it.

    Raises:
        UserError: what the worker says of it.
    """
    from hpo_pipe.isolation import isolated_command

    if not order.plan.arguments:
        return
    command = isolated_command("workers", "--check", *order.worker_arguments(None, secrets=False))
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHECK_LIMIT_S, check=False
    )
    if done.returncode:
        mark = "hpo-pipe: error: "
        said = [line.removeprefix(mark) for line in done.stderr.splitlines() if line.startswith(mark)]
        raise UserError(
            f"options of the worker, behind --: {'; '.join(said) or f'exit code {done.returncode}'}"
        )
