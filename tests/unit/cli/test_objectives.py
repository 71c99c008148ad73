"""What is said of studies with several objectives and with bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_pipe.report.live import live_view
from hpo_pipe.study import open_study
from storage_schema.errors import UserError
from storage_schema.keys import SpecId
from storage_schema.records import Limits, Metric, SettledSpec
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import STUDY_RECORD, Teller, issue

SEVERAL = (
    Metric(name="val_loss"),
    Metric(name="accuracy", goal="maximize", objective=True),
    Metric(name="seen"),
)
BOUNDED = (Metric(name="val_loss"), Metric(name="latency", max=10.0))


def told(folder: Path, metrics: tuple[Metric, ...], results: list[dict[str, float]]) -> Teller:
    """Return a study with one result at the first rung for each of `results`."""
    teller = Teller(folder, replace(STUDY_RECORD, metrics=metrics, limits=Limits(trials=20, not_improving=9)))
    head = teller.entry(*(issue(k, 0, 1, 0, "first") for k in range(len(results))))
    settled = (
        SettledSpec(
            spec=SpecId(head, k),
            link=2,
            outcome="done",
            resource=1,
            curves={name: ((1, value),) for name, value in values.items()},
        )
        for k, values in enumerate(results)
    )
    teller.entry(settled=tuple(settled))
    return teller


@pytest.fixture
def several(tmp_path: Path) -> Teller:
    results = [(0.5, 0.9), (0.4, 0.8), (0.6, 0.7), (0.2, 0.3)]  # trial 2 is dominated by both before it
    return told(
        tmp_path / "study", SEVERAL, [{"val_loss": a, "accuracy": b, "seen": 1.0} for a, b in results]
    )


@pytest.fixture
def bounded(tmp_path: Path) -> Teller:
    results = [(0.5, 9.0), (0.4, 8.0), (0.1, 30.0), (0.2, 20.0)]
    return told(tmp_path / "bounded", BOUNDED, [{"val_loss": a, "latency": b} for a, b in results])


def test_best_prints_the_front(run: Run, several: Teller) -> None:
    result = run("best", several.url)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["trial", "3", "1", "0"]
    # worst of all: 0.6 and 0.3; (0.6-0.4) * 0.5 + (0.6-0.5) * 0.1
    assert (
        "3 trials are on the front; hypervolume 0.11 up to val_loss 0.6 (worst), accuracy 0.3"
        in result.stderr
    )


def test_the_front_for_programs(run: Run, several: Teller) -> None:
    found = json.loads(run("best", several.url, "--json").stdout)
    assert [trial["number"] for trial in found["front"]] == [3, 1, 0]
    assert found["hypervolume"] == pytest.approx(0.11)
    assert found["reference"] == {"val_loss": 0.6, "accuracy": 0.3}
    assert [trial.number for trial in open_study(several.url).front.trials] == [3, 1, 0]


def test_a_bound_is_the_reference(run: Run, tmp_path: Path) -> None:
    metrics = (
        Metric(name="val_loss", max=1.0),
        Metric(name="accuracy", goal="maximize", objective=True, min=0.0),
    )
    teller = told(tmp_path / "study", metrics, [{"val_loss": 0.5, "accuracy": 0.5}])
    said = run("best", teller.url).stderr
    assert "1 trial is on the front; hypervolume 0.25 up to val_loss 1 (bound), accuracy 0 (bound)" in said


def test_status_and_trials_show_all_metrics(run: Run, several: Teller) -> None:
    lines = run("status", several.url).stdout.splitlines()
    assert "best      trial 3: val_loss 0.2, accuracy 0.3 at epoch 1" in lines
    assert any(line.startswith("front     3 trials are on the front") for line in lines)
    assert any("not_improving" in line for line in lines)
    grid = [line.split("\t") for line in run("trials", several.url).stdout.splitlines()]
    assert grid[0] == ["trial", "state", "val_loss", "epoch", "origin", "accuracy", "seen", "lr", "act"]
    assert grid[1][:7] == ["0", "PAUSED", "0.5", "1", "random", "0.9", "1.0"]
    assert json.loads(run("status", several.url, "--json").stdout)["hypervolume"] == pytest.approx(0.11)


def test_why_tells_front_and_rank(run: Run, several: Teller) -> None:
    said = run("why", several.url, "2").stdout
    assert "now: paused, rank 4 of 4 at epoch 1 (val_loss 0.6, accuracy 0.7 (front 1))" in said
    assert "val_loss 0.6, accuracy 0.7, seen 1" in said


def test_tables_hold_all_metrics(several: Teller, tmp_path: Path) -> None:
    table = open_study(several.url).trials_table()
    assert table["values_accuracy"].to_pylist() == [0.9, 0.8, 0.7, 0.3]
    assert "feasible" not in table.column_names
    other = told(tmp_path / "other", BOUNDED, [{"val_loss": 0.5, "latency": 11.0}, {"val_loss": 0.5}])
    assert open_study(other.url).trials_table()["feasible"].to_pylist() == [False, False]


def test_best_is_within_bounds(run: Run, bounded: Teller) -> None:
    result = run("best", bounded.url)
    assert "trial 1: val_loss 0.4, latency 8 at epoch 1" in result.stderr
    assert open_study(bounded.url).best_value == 0.4
    status = run("status", bounded.url).stdout
    assert "best 0.4" in status and "best seen" not in status, "what is out of bounds is never the best"
    grid = [line.split("\t") for line in run("trials", bounded.url).stdout.splitlines()]
    assert [row[6] for row in grid] == ["within bounds", "yes", "yes", "no", "no"]


def test_where_nothing_is_within_bounds_the_nearest_is_named(run: Run, tmp_path: Path) -> None:
    teller = told(
        tmp_path / "study", BOUNDED, [{"val_loss": 0.5, "latency": 30.0}, {"val_loss": 0.9, "latency": 12.0}]
    )
    result = run("best", teller.url)
    assert result.exit_code == 1
    assert "nearest is trial 1: val_loss 0.9, out of bounds (latency by 2)" in result.stderr
    with pytest.raises(UserError, match="within all bounds"):
        _ = open_study(teller.url).best_trial


def test_live_view(several: Teller, bounded: Teller) -> None:
    assert live_view(open_study(several.url).look(), [])
    assert live_view(open_study(bounded.url).look(), [])


def test_limits_of_progress_are_set_and_shown(run: Run, several: Teller) -> None:
    assert run("limits", several.url, "--not-improving", "7", "--convergence", "0.05").exit_code == 0
    said = run("limits", several.url).stdout
    assert "not_improving: 0 trials of 7 trials (0 %)" in said or "not_improving: 0 of 7 trials (0 %)" in said
    assert "convergence: 0.05" in said
    assert run("limits", several.url, "--convergence", "none").exit_code == 0
    assert open_study(several.url).look().history.limits.convergence is None
