"""`submit local` starts workers for the study that stands there now, and no other, and tells what became of them."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpo_pipe.cli import output
from hpo_pipe.cli.output import print_grid
from hpo_pipe.cli.submitting import _check_budget, _orders
from hpo_pipe.launch import find_target
from hpo_pipe.launch.order import Offer, Plan, Price
from hpo_pipe.launch.target import CommandCall
from hpo_pipe.launch.targets import local
from hpo_pipe.report.trials import Grid
from storage_schema.codec import sha256
from storage_schema.errors import UserError
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import Teller


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []

    def start(path: Path, call: CommandCall, order: object) -> str:
        commands.append(call.argv)
        return path.stem

    monkeypatch.setattr(local, "_start", start)
    return commands


def test_workers_are_told_which_study(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    url = told.store.url
    done = run("submit", "local", url, "--workers", "2", "--logs", tmp_path / "logs", "--slots", "2")
    assert done.exit_code == 0, done.output
    found = told.store.get("study.json")
    expected = ("--study-sha256", sha256(found.data), "--slots", "2", "--idle-timeout", "300")
    assert [command[-6:] for command in started] == [expected, expected]


def test_further_options_reach_the_workers(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    done = run("submit", "local", told.store.url, "--logs", tmp_path / "logs", "--", "--drain")
    assert done.exit_code == 0, done.output
    assert started[0][-1] == "--drain"


def test_no_study_no_workers(run: Run, started: list[tuple[str, ...]], tmp_path: Path) -> None:
    assert run("submit", "local", tmp_path / "nowhere", "--logs", tmp_path / "logs").exit_code == 2
    assert started == []


def test_a_dry_run_writes_nothing(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    done = run("submit", "local", told.store.url, "--workers", "3", "--dry-run", "--output", "json")
    assert done.exit_code == 0, done.output
    calls = json.loads(done.stdout)
    assert [call["command"][-7] for call in calls] == [told.store.url.removesuffix("/")] * 3 or len(
        calls
    ) == 3
    assert started == [] and list(told.store.list("submissions/")) == []


def test_a_dry_run_shows_the_workers_variables(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("nobody sees this")
    command = ("submit", "local", told.store.url, "--dry-run", "--logs", tmp_path, "--env", "WORDS=two words")
    command = (*command, "--secret", f"HF_TOKEN=file:{tmp_path}/token", "--price-per-hour", "0.5")
    (call,) = json.loads(run(*command, "--output", "json").stdout)
    assert call["environment"] == {
        "HPO_PIPE_PRICE_PER_HOUR": "0.5",
        "HPO_PIPE_PROVIDER": "local",
        "HPO_PIPE_STATUS_FILE": call["environment"]["HPO_PIPE_STATUS_FILE"],
        "HPO_PIPE_SUBMISSION": "1",
        "WORDS": "two words",
    }
    assert Path(call["environment"]["HPO_PIPE_STATUS_FILE"]).parent == tmp_path
    shown = run(*command)
    assert shlex.split(shown.stdout)[0] == "env" and "WORDS=two words" in shlex.split(shown.stdout)
    assert "nobody" not in shown.output and started == []


def test_no_workers_are_a_record_for_reconcile(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    url = told.store.url
    assert run("submit", "local", url, "--workers", "0", "--logs", tmp_path / "logs").exit_code == 0
    assert started == []
    shown = json.loads(run("submit", "status", url, "--all", "--json").stdout)
    assert [(one["number"], one["asked"], one["state"]) for one in shown] == [(1, 0, "ended")]


def test_a_wrong_target_is_answered_with_the_nearest(run: Run) -> None:
    done = run("submit", "locl", "./study")
    assert done.exit_code == 2 and "did you mean 'local'?" in done.output


def test_a_budget_needs_a_price(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    command = ("submit", "local", told.store.url, "--logs", tmp_path / "logs")
    done = run(*command, "--max-cost", "5")
    assert done.exit_code == 2 and "--price-per-hour" in done.output and started == []
    assert run(*command, "--max-cost", "5", "--price-per-hour", "0.5").exit_code == 0
    assert json.loads(run("limits", told.store.url, "--json").stdout)["limits"]["cost"] == 5
    assert run(*command, "--max-cost", "9", "--price-per-hour", "0.5").exit_code == 0
    assert json.loads(run("limits", told.store.url, "--json").stdout)["limits"]["cost"] == 5
    assert run(*command).exit_code == 2, "the study has a budget now"
    assert len(started) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--env", "AWS_SECRET_ACCESS_KEY=abc"), "--secret"),
        (("--env", "A"), "expected NAME=VALUE"),
        (("--env", "HPO_PIPE_STUDY=abc"), "HPO_PIPE_"),
        (("--idle-timeout", "soon"), "not a duration"),
    ],
)
def test_a_wrong_option_starts_nothing(
    told: Teller,
    run: Run,
    started: list[tuple[str, ...]],
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    done = run("submit", "local", told.store.url, "--logs", tmp_path / "logs", *options)
    assert done.exit_code == 2 and words in done.output
    assert started == [] and list(told.store.list("submissions/")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("./other",), "'./other': one URL is expected, and options of the worker behind --"),
        (("3", "--", "--drain"), "'3': one URL is expected"),
        (("--", "--bogus"), "options of the worker, behind --: No such option '--bogus'"),
        (("--", "--grace", "-3"), "options of the worker, behind --: Invalid value for '--grace'"),
        (("--", "--notices", "perhaps"), "'auto', 'ec2', 'none'"),
        (("--secret", "A=file:/no/such/file"), "--secret A: /no/such/file is not there"),
        (("--slots", "300"), "300 is not in the range 1<=x<=256"),
        (("--max-runtime", "0min"), "expected more than 0"),
        (("--job-queue", "q"), "local has no option --job-queue; it is one of aws-batch"),
        (("--gpus", "1"), "local has no option --gpus; it is one of aws-batch"),
        (("--wrkers", "1"), "'--workers'"),
    ],
)
def test_what_the_worker_would_refuse_is_refused_before_it_is_started(
    told: Teller,
    run: Run,
    started: list[tuple[str, ...]],
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    done = run("submit", "local", told.store.url, "--logs", tmp_path / "logs", *options)
    assert done.exit_code == 2 and words in done.output
    assert started == [] and list(told.store.list("submissions/")) == []


def test_a_folder_that_is_on_the_workers_machine_alone_is_no_mistake(
    told: Teller, run: Run, started: list[tuple[str, ...]], tmp_path: Path
) -> None:
    command = ("submit", "local", told.store.url, "--logs", tmp_path / "logs", "--", "--workdir", "/not/here")
    assert run(*command).exit_code == 0 and started[0][-2:] == ("--workdir", "/not/here")


def test_machines_are_hired_in_one_way(told: Teller, run: Run) -> None:
    done = run("submit", "sagemaker", told.store.url, "--spot", "--on-demand")
    assert done.exit_code == 2 and "--spot and --on-demand: give one of them" in done.output


@pytest.mark.parametrize("kinds", ["a", "a,b"])
def test_machines_that_the_provider_chooses_among_all_need_a_price(
    told: Teller, monkeypatch: pytest.MonkeyPatch, kinds: str
) -> None:
    offers = (Offer(instance_type=kinds, lifecycle="spot"),)
    target = SimpleNamespace(offers=lambda settings, plan: offers)
    plan = Plan(url=told.store.url, study="s", study_sha256="0" * 64)
    price = Price(instance_type="a", lifecycle="spot", dollars_per_hour=1.0)
    for known, refused in (((price,), kinds != "a"), ((price, replace(price, instance_type="b")), False)):
        with pytest.raises(UserError, match="give --price-per-hour") if refused else nullcontext():
            _check_budget(told.store, target, replace(plan, prices=known), {}, {"max_cost": 5.0})  # type: ignore[arg-type]


def test_a_table_on_a_terminal_leaves_out_what_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid(columns=("number", "offer", "failed"), rows=(("1", "", "0"), ("2", "", "3")))
    print_grid(grid, told=frozenset({"offer", "failed"}))
    assert capsys.readouterr().out.splitlines()[0] == "number\toffer\tfailed"
    monkeypatch.setattr(output, "on_terminal", lambda err=False: True)
    print_grid(grid, told=frozenset({"offer", "failed"}))
    assert capsys.readouterr().out.split() == ["number", "failed", "1", "0", "2", "3"]


def test_every_offer_is_held_against_the_providers_rules(told: Teller, run: Run) -> None:
    """The second one would be asked for in the night, when the first is used up."""
    url = "s3://bucket/studies/first"
    orders = _orders(
        find_target("sagemaker"),
        Plan(url=url, study="s", study_sha256="0" * 64),
        {"instance_type": ["ml.g5.xlarge", "ml.wrong.wrong"]},
        3,
    )
    assert [(order.offer.instance_type, order.workers) for order in orders] == [
        ("ml.g5.xlarge", 3),
        ("ml.wrong.wrong", 1),
    ]
