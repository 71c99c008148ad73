"""Every failure ends in a line that names the program, and in its documented exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from hpo_pipe.cli.failures import ConfigurationError, exit_code
from hpo_pipe.cli.group import COMMANDS, EPILOG
from storage_schema.codec import decode, encode_record
from storage_schema.errors import (
    DamagedRecord,
    NewerFormat,
    OutcomeUnknown,
    ProtocolViolation,
    StoreRefused,
    StoreUnavailable,
    StudyNotFound,
    UserError,
)
from storage_schema.keys import STUDY, log_key
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import Teller


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("x"), 2),
        (StudyNotFound("x"), 2),
        (click.UsageError("x"), 2),
        (DamagedRecord("k", "x"), 65),
        (NewerFormat("k", "x"), 65),
        (StoreUnavailable("x"), 69),
        (OutcomeUnknown("x"), 69),
        (StoreRefused("x"), 78),
        (ConfigurationError("x"), 78),
        (ProtocolViolation("x"), 1),
        (PermissionError(13, "denied", "/x"), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert exit_code(fail) == code
    assert f"\n  {code:>3}  " in EPILOG
    assert "hpo-pipe: error: " in capsys.readouterr().err


def test_only_what_should_not_happen_shows_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> None:
        raise error

    exit_code(lambda: fail(UserError("one\ntwo")))
    assert capsys.readouterr().err == "hpo-pipe: error: one\nhpo-pipe: error: two\n"
    exit_code(lambda: fail(ZeroDivisionError("x")))
    assert "Traceback" in capsys.readouterr().err


def test_no_study_no_scheme_no_such_command(run: Run, tmp_path: Path) -> None:
    missing = run("status", tmp_path / "nothing")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "no study at file://" in missing.stderr
    assert "known: file, memory, s3" in run("status", "s4://bucket/x").stderr
    assert run("statsu", "x").stderr.startswith(
        "hpo-pipe: error: no command 'statsu' (did you mean 'status'?)"
    )
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_log_entry_is_named(run: Run, told: Teller) -> None:
    told.create(log_key(4), b"{")
    result = run("status", told.url)
    assert result.exit_code == 65
    assert "log/00000004.json" in result.stderr


def test_a_study_of_a_newer_format_says_to_upgrade(run: Run, told: Teller) -> None:
    blob = told.store.get(STUDY)
    newer = decode(blob.data, STUDY) | {"format": 2}  # type: ignore[union-attr]
    told.store.replace(STUDY, encode_record(newer))
    result = run("status", told.url)
    assert result.exit_code == 65
    assert "upgrade" in result.stderr


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("worker", "train")])
def test_every_help_has_examples(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"hpo-pipe {command}" in result.stdout.split("Examples:")[1]


def test_help_names_every_command_and_exit_code(run: Run) -> None:
    text = run("--help").stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "Exit codes:" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    assert "_HPO_PIPE_COMPLETE" in run("completion", shell).stdout


def test_completion_offers_commands_and_options() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "hpo_pipe"],
        env={"_HPO_PIPE_COMPLETE": "bash_complete", "COMP_WORDS": "hpo-pipe st", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(",")[1] for line in found.stdout.split()] == ["status", "stop"]


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hpo_pipe.cli.group import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'pyarrow', 'rich', 'fsspec', 'asyncio', 'scipy', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
