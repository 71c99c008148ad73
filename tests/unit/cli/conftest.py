from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hpo_pipe.cli.group import cli
from tests.unit.cli.told_study import Teller, told_study

Run = Callable[..., Result]


@pytest.fixture
def told(tmp_path: Path) -> Teller:
    return told_study(tmp_path / "told")


@pytest.fixture
def run() -> Run:
    """Runs the command line in this process; stdout is no terminal."""
    return lambda *arguments: CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="hpo-pipe")
