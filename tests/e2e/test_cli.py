"""The command line as people use it: real processes, pipes, signals and a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.e2e.fleet import hpo_pipe
from tests.unit.cli.told_study import Teller, told_study
from tests.waiting import wait_until

TRAIN = """
import os, sys, time
from hpo_pipe.trial import current_trial

trial = current_trial()
for epoch in trial.steps():
    time.sleep(float(os.environ.get("TEST_EPOCH_S", "0")))
    trial.report(loss=(trial.params["lr"] - 0.1) ** 2 + 1 / (1 + epoch))
    with trial.save_checkpoint() as folder:
        (folder / "x").write_text("x")
"""

STUDY = """
name = "tiny"
command = ["{python}", "train.py"]
seed = 1

[metric]
name = "loss"

[parameters]
lr = {{ type = "float", min = 0.0, max = 0.2 }}

[resource]
name = "epoch"
min = 1
max = 4
eta = 2

[algorithm]
scheduler = "asha"
searcher = "random"

[limits]
trials = 6

[worker]
flush = 0.5
lease = 5
grace = 3
tick = 0.2
"""

COMMAND = [sys.executable, "-m", "hpo_pipe"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.toml").write_text(STUDY.format(python=sys.executable))
    return tmp_path


@pytest.fixture
def told(tmp_path: Path) -> Teller:
    return told_study(tmp_path / "told")


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`hpo-pipe run` with slow epochs, once its workers train."""
    with started(folder) as process:
        counts = lambda: _status(folder)["counts"]["RUNNING"]  # noqa: E731
        wait_until(lambda: (folder / "s" / "study.json").exists() and counts(), 30, "a running trial")
        yield process
        process.kill()


def started(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "run", "study.toml", "s", "--workers", "2"],
        cwd=folder,
        env={**os.environ, "TEST_EPOCH_S": "0.5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _status(folder: Path) -> dict:  # type: ignore[type-arg]
    return json.loads(hpo_pipe("status", str(folder / "s"), "--json"))


def call(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_run_works_a_study_off_and_ends_with_the_best_configuration(folder: Path) -> None:
    done = call(folder, "run", "study.toml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"lr=[0-9.e-]+\n", done.stdout)
    url = (folder / "hpo-pipe-studies" / "tiny").as_uri()
    for part in ("best: trial ", f"The study lies at {url}", f"hpo-pipe why {url}", "trials 6: "):
        assert part in done.stderr
    assert "\x1b" not in done.stderr
    assert (folder / "hpo-pipe-studies" / "tiny.logs" / "worker-1.log").exists()
    again = call(folder, "run", "study.toml")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "has ended already" in again.stderr
    assert call(folder, "limits", url, "--trials", "8").returncode == 0
    more = call(folder, "run", "study.toml")
    assert more.returncode == 0, more.stderr
    assert "trials 8: " in more.stderr
    replayed = call(folder, "replay", url)
    assert (replayed.returncode, replayed.stdout) == (0, "")


def test_ctrl_c_hands_work_back_and_running_again_goes_on(
    folder: Path, running: subprocess.Popen[str]
) -> None:
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 75
    assert "interrupted; go on with: hpo-pipe run study.toml" in err
    state = _status(folder)
    assert (state["counts"]["FAILED"], state["counts"]["RUNNING"], state["workers"]) == (0, 0, [])
    again = call(folder, "run", "study.toml", "s", "--workers", "2")
    assert again.returncode == 0, again.stderr
    assert "going on with" in again.stderr
    assert _status(folder)["counts"]["FAILED"] == 0


def test_ctrl_c_twice_ends_at_once(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    wait_until(lambda: "interrupting" in running.stderr.readline(), 10, "the first Ctrl-C's answer")  # type: ignore[union-attr]
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=10)
    assert running.returncode in (130, 75)  # 75 where the workers were quicker than the second signal


def test_a_worker_that_is_killed_is_started_again(folder: Path, running: subprocess.Popen[str]) -> None:
    worker = _status(folder)["workers"][0]
    os.kill(worker["pid"], signal.SIGKILL)
    _, err = running.communicate(timeout=80)
    assert running.returncode == 0, err
    assert "was killed by signal 9; it starts again" in err
    state = _status(folder)
    assert (state["state"], state["counts"]["FAILED"]) == ("finished", 0)


def test_a_command_that_does_not_exist_is_a_configuration_error(folder: Path) -> None:
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace(sys.executable, "no-such-program"))
    done = call(folder, "run", "study.toml", "s")
    assert done.returncode == 78, done.stderr
    assert "no-such-program" in done.stderr


def test_a_reader_that_goes_away_leaves_no_traceback(told: Teller) -> None:
    script = f"{' '.join(COMMAND)} trials {told.url} --json | head -1"
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; for i in 1 2 3 4 5; do {script}; done"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout.split() == ["["] * 5
    assert found.stderr == ""


def test_a_closed_stdout_from_the_start_is_quiet_too(told: Teller) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [*COMMAND, "status", told.url], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, "")


def test_a_store_that_cannot_be_reached_is_69(tmp_path: Path) -> None:
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_MAX_ATTEMPTS": "1",
    }
    found = call(tmp_path, "status", "s3://bucket/study", env=env)
    assert found.returncode == 69, found.stderr
    assert found.stderr.startswith("hpo-pipe: error: ")
    assert "Traceback" not in found.stderr


def test_in_a_latin_locale_nothing_breaks(told: Teller, tmp_path: Path) -> None:
    found = call(
        tmp_path, "status", told.url, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    )
    assert found.returncode == 0


def terminal(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> pexpect.spawn[str]:
    return pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], *arguments],
        cwd=str(folder),
        env={**os.environ, "TERM": "xterm-256color", **(env or {})},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 120),
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # ignored in a shell's background jobs
    )


def test_on_a_terminal_trials_are_an_aligned_table(told: Teller, tmp_path: Path) -> None:
    shown = terminal(tmp_path, "trials", told.url)
    shown.expect(pexpect.EOF)
    assert "\t" not in shown.before
    assert "\x1b[1m" in shown.before
    plain = terminal(tmp_path, "trials", told.url, env={"NO_COLOR": "1"})
    plain.expect(pexpect.EOF)
    assert not re.search(r"\x1b\[3\d", plain.before)


def test_watch_draws_until_the_study_has_ended(told: Teller, tmp_path: Path) -> None:
    shown = terminal(tmp_path, "status", told.url, "--watch", "--interval", "0.2")
    shown.expect("incumbent")
    shown.expect("6 of 20")
    shown.sendintr()
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 130
    assert "Traceback" not in shown.before


def test_run_on_a_terminal_shows_progress_and_the_end(folder: Path) -> None:
    shown = terminal(folder, "run", "study.toml", "s")
    shown.expect("coordinator")
    shown.expect("The study lies at", timeout=80)
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 0
