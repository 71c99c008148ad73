"""What a provider's own program is given, and what its answers become. The programs are real shell scripts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpo_pipe.launch import commands
from hpo_pipe.launch.commands import answer_of, ask
from hpo_pipe.launch.target import TargetUnavailable
from storage_schema.errors import UserError
from tests.waiting import wait_until

SOURCE = "it comes with the provider"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def program(folder: Path, body: str) -> None:
    file = folder / "provider"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def test_arguments_stdin_and_environment_reach_it_as_they_are(path: Path) -> None:
    program(path, 'printf "%s|" "$@"; printf "%s|" "$EXTRA"; cat')
    said = answer_of(
        ["provider", "a b", "$(id)", "'"], source=SOURCE, stdin="one\ntwo", environment={"EXTRA": "yes"}
    )
    assert said == "a b|$(id)|'|yes|one\ntwo"


def test_an_absent_program_is_named_with_where_to_get_it() -> None:
    with pytest.raises(UserError, match=r"^no-such-program is not on the PATH: it comes with the provider$"):
        ask(["no-such-program"], source=SOURCE)


def test_a_file_that_cannot_be_run_is_named(path: Path) -> None:
    program(path, "")
    (path / "provider").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(UserError, match=r"^provider does not run: "):
        ask(["provider"], source=SOURCE)


def test_a_failure_says_what_the_program_said_in_one_line(path: Path) -> None:
    program(path, 'echo out; printf "error: no\\n  such \\033[31mqueue\\n" >&2; exit 3')
    answer = ask(["provider"], source=SOURCE)
    assert (answer.status, answer.out, answer.message) == (3, "out\n", r"error: no such \x1b[31mqueue")
    with pytest.raises(TargetUnavailable, match=r"^provider: error: no such"):
        answer_of(["provider"], source=SOURCE)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo only here; exit 1", "only here"),
        ("exit 7", "it ended with exit status 7, and said nothing"),
        ("kill -9 $$", "it ended with signal 9, and said nothing"),
    ],
)
def test_a_failure_without_errors_is_told_too(path: Path, body: str, message: str) -> None:
    program(path, body)
    assert ask(["provider"], source=SOURCE).message == message


def test_secrets_of_the_environment_are_taken_out_of_errors(path: Path) -> None:
    program(path, 'echo "denied for $PROVIDER_TOKEN" >&2; exit 1')
    answer = ask(["provider"], source=SOURCE, environment={"PROVIDER_TOKEN": "opensesame-opensesame"})
    assert answer.message == "denied for ***"


def test_one_that_does_not_answer_is_killed_with_its_children(path: Path, tmp_path: Path) -> None:
    program(path, f"sleep 60 & echo $! >{tmp_path}/child; wait")
    began = time.monotonic()
    with pytest.raises(TargetUnavailable, match=r"^provider did not answer within 0\.5 s$"):
        ask(["provider"], source=SOURCE, limit_s=0.5)
    assert time.monotonic() - began < 5
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not _runs(child), 5, "the child's end")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_child_that_outlives_it_and_holds_its_pipes_does_not_hold_us(path: Path) -> None:
    program(path, "sleep 60 & echo done")
    began = time.monotonic()
    assert answer_of(["provider"], source=SOURCE) == "done\n"
    assert time.monotonic() - began < 15


def test_too_long_an_answer_is_refused_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_OUTPUT", 2 * 1024 * 1024)
    program(path, "head -c 3000000 /dev/zero")
    with pytest.raises(TargetUnavailable, match=r"^provider said more than 2 MiB$"):
        ask(["provider"], source=SOURCE)


def test_long_errors_are_cut_and_it_still_ends(path: Path) -> None:
    program(path, "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1")
    assert ask(["provider"], source=SOURCE).message == "x" * commands.MAX_MESSAGE


def test_one_that_does_not_read_its_stdin_is_no_error(path: Path) -> None:
    program(path, "exec <&-; echo fine")
    assert answer_of(["provider"], source=SOURCE, stdin="x" * 1_000_000) == "fine\n"


def test_it_has_no_terminal_to_ask_at(path: Path) -> None:
    program(path, "if (: </dev/tty) 2>/dev/null; then echo terminal; else echo none; fi")
    assert answer_of(["provider"], source=SOURCE) == "none\n"
