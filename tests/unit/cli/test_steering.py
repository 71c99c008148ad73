"""What a user's wishes write to the log, and what they refuse."""

from __future__ import annotations

import pytest

from hpo_pipe.study import OpenStudy
from storage_schema.keys import log_key
from storage_schema.records import (
    Enqueue,
    Entry,
    Finish,
    Limits,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    StopTrial,
)
from storage_schema.store import Blob
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import Teller

FIRST = 4
"""The entry after those that the told study has."""


def entry(told: Teller, number: int = FIRST) -> Entry | None:
    blob = told.store.get(log_key(number))
    return Entry.from_bytes(blob.data, number) if isinstance(blob, Blob) else None


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["stop"], Finish),
        (["stop", "--trial", "4"], StopTrial),
        (["pause"], Pause),
        (["retry", "2"], RetryTrial),
        (["retry", "3"], RetryTrial),
        (["enqueue", "lr=0.5"], Enqueue),
        (["limits", "--trials", "50"], SetLimits),
    ],
)
def test_each_wish_is_one_users_entry(run: Run, told: Teller, arguments: list[str], kind: type) -> None:
    command, *rest = arguments
    result = run(command, told.url, *rest)
    assert result.exit_code == 0, result.stderr
    written = entry(told)
    assert written is not None
    assert (written.author, written.facts, [type(d) for d in written.decisions]) == ("user", None, [kind])
    assert entry(told, FIRST + 1) is None
    assert f"log entry {FIRST}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["resume"], ["stop", "--trial", "3"], ["stop", "--trial", "2"], ["limits", "--trials", "20"]],
)
def test_what_is_so_already_writes_nothing(run: Run, told: Teller, arguments: list[str]) -> None:
    command, *rest = arguments
    result = run(command, told.url, *rest)
    assert result.exit_code == 0
    assert "nothing to do" in result.stderr
    assert entry(told) is None


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["enqueue", "lr=2.0"], "lr"),
        (["enqueue", "lrr=0.1"], "did you mean 'lr'?"),
        (["enqueue", "act=gelu"], "act"),
        (["enqueue", "lr"], "NAME=VALUE"),
        (["enqueue", "lr=0.1", "lr=0.2"], "given twice"),
        (["enqueue", "lr=NaN"], "lr"),
        (["retry", "0"], "nothing to try again"),
        (["retry", "4"], "running already"),
        (["stop", "--trial", "9"], "trials are 0 to 5"),
        (["limits", "--wall-time", "soon"], "not a duration"),
        (["limits", "--trials", "0"], "trials"),
    ],
)
def test_what_makes_no_sense_is_bad_input_and_writes_nothing(
    run: Run, told: Teller, arguments: list[str], part: str
) -> None:
    command, *rest = arguments
    result = run(command, told.url, *rest)
    assert result.exit_code == 2
    assert part in result.stderr
    assert all(line.startswith(("hpo-pipe: error: ", "Try ")) for line in result.stderr.splitlines())
    assert entry(told) is None


def test_values_are_json_or_else_text(run: Run, told: Teller) -> None:
    run("enqueue", told.url, "lr=1e-2", "act=tanh")
    run("enqueue", told.url, 'act="relu"')
    first, second = entry(told), entry(told, FIRST + 1)
    assert first is not None and second is not None
    assert first.decisions[0] == Enqueue(parameters={"lr": 0.01, "act": "tanh"}, reason="enqueued by a user")
    assert second.decisions[0] == Enqueue(parameters={"act": "relu"}, reason="enqueued by a user")


def test_limits_change_only_what_is_named(run: Run, told: Teller) -> None:
    run("limits", told.url, "--wall-time", "2h", "--target", "0.1")
    run("limits", told.url, "--trials", "none", "--gpu-hours", "3")
    written = entry(told, FIRST + 1)
    assert written is not None
    found = written.decisions[0]
    assert isinstance(found, SetLimits)
    assert found.limits == Limits(trials=None, wall_s=7200.0, target=0.1, gpu_hours=3.0)


def test_a_budget_is_set_told_and_says_what_it_leaves_out(run: Run, told: Teller) -> None:
    done = run("limits", told.url, "--cost", "50")
    written = entry(told)
    assert written is not None
    found = written.decisions[0]
    assert isinstance(found, SetLimits)
    assert found.limits == Limits(trials=20, cost=50.0)
    assert "cost: 0 of 50 dollars (0 %)" in done.stdout
    assert "the budget leaves out" in done.stderr
    assert "attempts whose cost is not known: no price was given" in done.stderr
    status = run("status", told.url).stdout
    assert "limit     cost 0 of 50 dollars (0 %)" in status
    assert "note      the budget leaves out" in status
    assert "the budget" not in run("limits", told.url, "--cost", "none").stderr
    assert run("limits", told.url, "--cost", "0").exit_code == 2


def test_pause_then_resume_then_stop_then_resume(run: Run, told: Teller) -> None:
    for command in ("pause", "resume", "stop", "resume"):
        assert run(command, told.url).exit_code == 0
    kinds = [type(written.decisions[0]) for n in range(FIRST, FIRST + 4) if (written := entry(told, n))]
    assert kinds == [Pause, Resume, Finish, Resume]


def test_a_wish_made_beside_others_finds_its_place_behind_them(told: Teller) -> None:
    one, other = OpenStudy(told.store), OpenStudy(told.store)
    one.look()
    other.look()
    assert one.enqueue({"lr": 0.1}).entry == FIRST
    assert other.enqueue({"lr": 0.2}).entry == FIRST + 1
    assert [queued["lr"] for queued in one.look().history.queue] == [0.1, 0.2]
