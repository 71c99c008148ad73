"""``hpo-pipe completion``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples


@click.command(
    epilog=examples(
        'eval "$(hpo-pipe completion bash)"                                    in ~/.bashrc',
        'eval "$(hpo-pipe completion zsh)"                                     in ~/.zshrc',
        "hpo-pipe completion fish > ~/.config/fish/completions/hpo-pipe.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion script."""
    from click.shell_completion import get_completion_class

    from hpo_pipe.cli.group import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click ships the three
    click.echo(kind(cli, {}, "hpo-pipe", "_HPO_PIPE_COMPLETE").source())
