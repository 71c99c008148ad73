"""SIGTERM to a worker or a coordinator that still starts: process 1 of a container is only told of what it catches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.fleet import SCRIPT, STUDY, hpo_pipe

_SHOW = """
import os, signal
os.getpid = lambda: {number}  # what the process of a container would see
from hpo_pipe.isolation import keep_sigterm
keep_sigterm()
print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    """A study in a folder."""
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(python=sys.executable, script=SCRIPT, scheduler="asha", trials=2))
    url = str(tmp_path / "study")
    hpo_pipe("create", str(file), url)
    return url


def _blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)  # comes before anything of ours runs, and waits


@pytest.mark.parametrize("role", ["worker", "coordinator"])
def test_a_sigterm_that_waited_is_heard(role: str, study: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpo_pipe", role, study],
        preexec_fn=_blocked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 75, done.stderr


@pytest.mark.parametrize(
    ("number", "command", "kept"),
    [
        (1, "worker", True),
        (1, "train", True),
        (1, "coordinator", True),
        (1, "status", False),
        (7, "worker", False),
    ],
)
def test_only_process_1_keeps_it_and_only_who_lets_it_in_again(number: int, command: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW.format(number=number), command],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(kept)
