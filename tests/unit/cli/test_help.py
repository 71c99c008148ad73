"""Help names what a value is, fits a terminal, and its examples are what the commands take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpo_pipe.cli.arguments import EXAMPLE_COLUMNS, examples
from hpo_pipe.cli.group import cli
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import Teller
from workers.__main__ import worker


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


COMMANDS = {path: command for path, command in _commands(cli, ()) if path != ("worker",)}


@pytest.mark.parametrize("path", [*COMMANDS, ("worker",)], ids=" ".join)
def test_a_value_is_named_for_what_it_is(path: tuple[str, ...]) -> None:
    command = COMMANDS.get(path, worker)
    with click.Context(command, info_name=path[-1], terminal_width=80) as context:
        text = command.get_help(context)
    assert not re.search(r"--[a-z0-9-]+ (TEXT|INTEGER|FLOAT|PATH)\b", text), text


def _examples(command: click.Command) -> list[str]:
    lines = (command.epilog or "").partition("Examples:\n")[2].replace("\\\n", " ").splitlines()
    return [line.split("   ")[0].strip() for line in lines if line.startswith("  hpo-pipe ")]


GIVEN = [(path, line) for path, command in COMMANDS.items() for line in _examples(command)]


@pytest.mark.parametrize(("path", "line"), GIVEN, ids=[line for _, line in GIVEN])
def test_examples_are_command_lines_of_ours(
    path: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("study.toml", "sweep.yaml", "tuning-job.json"):
        (tmp_path / name).touch()
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="hpo-pipe")
    while isinstance(command, click.Group) and words:
        name, found, words = command.resolve_command(context, words)
        assert name is not None and found is not None
        context, command = click.Context(found, parent=context, info_name=name), found
    if command.name != "worker":
        command.make_context(command.name, list(words), parent=context.parent)


def test_a_long_example_goes_on_in_a_next_line_as_a_shell_takes_it() -> None:
    line = "hpo-pipe submit sagemaker s3://bucket/first " + " ".join(
        f"--option-{n} {'x' * n}" for n in range(20)
    )
    shown = examples(line).splitlines()[2:]
    assert len(shown) > 2 and all(len(part) <= EXAMPLE_COLUMNS + 2 for part in shown)
    assert shlex.split("\n".join(shown).replace("\\\n", "")) == shlex.split(line)


def test_a_wrong_number_is_told_as_one() -> None:
    done = CliRunner().invoke(cli, ["submit", "local", "x", "--workers", "many"])
    assert "'many' is not a valid integer" in done.output and "range" not in done.output
    done = CliRunner().invoke(cli, ["submit", "local", "x", "--price-per-hour", "much"])
    assert "'much' is not a valid number" in done.output and "range" not in done.output


def test_every_option_that_is_missing_is_told_at_once(run: Run, told: Teller) -> None:
    done = run("submit", "sagemaker", told.store.url, "--volume-kms-key-id", "?", "--region", "eu-west-1")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "hpo-pipe: error: --instance-type is missing, expected something like ml.g5.xlarge",
        "hpo-pipe: error: --role-arn is missing, expected something like "
        "arn:aws:iam::111122223333:role/hpo-pipe-worker",
        "hpo-pipe: error: --volume-kms-key-id is '?', expected something like alias/training",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--role", "wroker"),
            "--role': 'wroker' is not one of 'worker', 'coordinator', 'submitter', 'observer', "
            "'bucket' (did you mean 'worker'?)",
        ),
        ((), "Missing option '--role'. Choose from: worker, coordinator, submitter, observer, bucket"),
    ],
)
def test_a_choice_is_told_on_one_line_with_the_nearest(run: Run, options: tuple[str, ...], line: str) -> None:
    done = run("submit", "policy", "s3://bucket/studies/first", *options)
    assert done.exit_code == 2 and done.stderr.splitlines()[0].endswith(line)
