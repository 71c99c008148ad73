"""What the reading commands say about a study told by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from storage_schema.keys import SpecId
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import WORKER, Teller, done, issue


def test_status_counts_every_trial_once_in_the_state_that_a_user_sees(run: Run, told: Teller) -> None:
    found = json.loads(run("status", told.url, "--json").stdout)
    assert found["counts"] == {
        "RUNNING": 1,
        "WAITING": 1,
        "PAUSED": 2,
        "COMPLETE": 0,
        "PRUNED": 1,
        "FAILED": 1,
    }
    assert sum(found["counts"].values()) == found["trials"] == 6
    assert found["best"]["number"] == 1
    assert (found["best"]["value"], found["best"]["resource"]) == (0.2, 3)
    assert found["limits"] == {"trials": 20}
    assert [rung["measured"] for rung in found["rungs"]] == [3, 1, 0]
    assert found["workers"][0]["worker"] == WORKER


def test_status_as_text_is_plain_and_names_best_limit_worker_and_rungs(run: Run, told: Teller) -> None:
    text = run("status", told.url).stdout
    assert "\x1b" not in text
    for part in ("trial 1: val_loss 0.2 at epoch 3", "trials 6 of 20 (30 %)", WORKER, "epoch 1: 3 measured"):
        assert part in text


def test_a_holder_that_is_silent_for_the_lease_runs_nothing(run: Run, told: Teller) -> None:
    for path in (told.folder / "workers").iterdir():
        os.utime(path, (1.0, 1.0))
    found = json.loads(run("status", told.url, "--json").stdout)
    assert found["counts"]["RUNNING"] == 0
    assert found["counts"]["WAITING"] == 2
    assert "no worker is alive" in run("status", told.url).stdout


def test_trials_is_tab_separated_with_one_line_each(run: Run, told: Teller) -> None:
    lines = run("trials", told.url).stdout.splitlines()
    assert lines[0].split("\t") == ["trial", "state", "val_loss", "epoch", "origin", "lr", "act"]
    assert lines[2].split("\t") == ["1", "PAUSED", "0.2", "3", "random", "0.02", "relu"]
    assert len(lines) == 7


def test_trials_sorts_by_value_with_unmeasured_ones_last(run: Run, told: Teller) -> None:
    found = json.loads(run("trials", told.url, "--sort", "value", "--json").stdout)
    assert [t["number"] for t in found] == [1, 4, 0, 3, 2, 5]


def test_trials_filters_by_state_in_any_case(run: Run, told: Teller) -> None:
    found = json.loads(run("trials", told.url, "--state", "paused", "--state", "FAILED", "--json").stdout)
    assert [t["number"] for t in found] == [0, 1, 2]


@pytest.mark.parametrize(
    ("option", "wrong", "right"), [("--state", "RUNING", "RUNNING"), ("--sort", "valu", "value")]
)
def test_a_wrong_state_or_sort_is_answered_with_the_nearest_right_one(
    run: Run, told: Teller, option: str, wrong: str, right: str
) -> None:
    result = run("trials", told.url, option, wrong)
    assert result.exit_code == 2
    assert f"did you mean {right!r}?" in result.stderr
    assert result.stdout == ""


def test_best_says_how_long_was_trained_and_not_how_long_was_allowed(run: Run, tmp_path: Path) -> None:
    """A script with an end of its own may stop below its rung's level."""
    teller = Teller(tmp_path / "short")
    first = teller.entry(issue(0, 0, 3, 1, "a new configuration"))
    teller.entry(settled=(done(SpecId(first, 0), (1, 0.5), (2, 0.4)),))
    assert json.loads(run("best", teller.url, "--json").stdout)["resource"] == 2


def test_best_prints_what_enqueue_takes(run: Run, told: Teller) -> None:
    result = run("best", told.url)
    assert result.stdout.splitlines() == ["lr=0.02", "act=relu"]
    assert "trial 1: val_loss 0.2 at epoch 3" in result.stderr
    assert run("enqueue", told.url, *result.stdout.split()).exit_code == 0


def test_why_tells_each_decision_with_its_reason_and_each_attempt_with_its_end(
    run: Run, told: Teller
) -> None:
    text = run("why", told.url, 1).stdout
    parts = [
        "entry 0  issue 00000000-001: train epoch 0 to 1 (rung 0)",
        "because: a new configuration, number 1",
        f"attempt 1: claimed by {WORKER}",
        "fenced by c-beta: silent for 20 s",
        f"attempt 3: claimed by {WORKER}",
        "entry 1  result 00000000-001: done at epoch 1, val_loss 0.3",
        "entry 1  issue 00000001-000: train epoch 1 to 3 (rung 1)",
        "because: rank 1 of 3 at epoch 1, 0.3; the best third is promoted",
        "entry 3  result 00000001-000: done at epoch 3, val_loss 0.2",
        "now: paused, rank 1 of 1 at epoch 3",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_why_shows_the_tail_of_a_failure_and_how_to_retry(run: Run, told: Teller) -> None:
    text = run("why", told.url, 2).stdout
    assert "| ValueError: no such layer" in text
    assert f"hpo-pipe retry {told.url} 2" in text


def test_why_names_a_users_stop(run: Run, told: Teller) -> None:
    assert "entry 2  stop (a user's): looks hopeless" in run("why", told.url, 3).stdout


def test_why_as_json_holds_the_same(run: Run, told: Teller) -> None:
    found = json.loads(run("why", told.url, 1, "--json").stdout)
    assert [event["kind"] for event in found["events"]] == ["issue", "done", "issue", "done"]
    assert [link["kind"] for link in found["attempts"]] == [
        "claim",
        "fence",
        "claim",
        "done",
        "claim",
        "done",
    ]


def test_a_trial_that_does_not_exist_is_bad_input(run: Run, told: Teller) -> None:
    for command in ("why", "logs", "retry"):
        result = run(command, told.url, 6)
        assert result.exit_code == 2
        assert "trials are 0 to 5" in result.stderr


def test_logs_prints_the_newest_attempt_and_says_what_was_left_out(run: Run, told: Teller) -> None:
    result = run("logs", told.url, 1)
    assert result.stdout == "begin\n... 123456 bytes left out ...\nend\n"
    assert "123,456 bytes" in result.stderr
    assert run("logs", told.url, 1, "--attempt", 1).stdout == "first try\n"


def test_logs_falls_back_on_the_tail_in_the_record(run: Run, told: Teller) -> None:
    result = run("logs", told.url, 2)
    assert (result.exit_code, result.stdout) == (0, "Traceback\nValueError: no such layer\n")
    assert run("logs", told.url, 5).exit_code == 1


def test_limits_shows_what_is_used(run: Run, told: Teller) -> None:
    assert run("limits", told.url).stdout == "trials: 6 of 20 (30 %)\n"
