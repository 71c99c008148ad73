"""``hpo-pipe simulate``, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_pipe.simulate.world import SimulatedStudy
from hpo_pipe.study_file.template import study_template
from storage_schema.keys import STUDY, log_key
from storage_schema.store import open_store
from tests.unit.simulate.worlds import ToyCurves, study

FILE = """
function = "train:main"
metric = { name = "loss" }
resource = { max = 27 }
limits = { trials = 20 }
[parameters]
lr = { type = "float", min = 1e-4, max = 1e-1, log = true }
layers = { type = "int", min = 1, max = 8 }
"""


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    """A study whose log a simulation wrote."""
    folder = tmp_path / "recorded"
    store = open_store(str(folder))
    the_study = study("asha", trials=30)
    store.create(STUDY, the_study.to_bytes())
    for entry in SimulatedStudy(the_study, ToyCurves(crash_from=8), 4).until().log:
        store.create(log_key(entry.entry), entry.to_bytes())
    return str(folder)


def test_a_recorded_study_under_other_algorithms(run, recorded, tmp_path):
    plot = tmp_path / "plot.svg"
    found = run(
        "simulate",
        recorded,
        "--algorithm",
        "study",
        "--algorithm",
        "asha(eta=4)",
        "--seeds",
        2,
        "--plot",
        plot,
    )
    assert found.exit_code == 0, found.stderr
    heads, *rows = found.stdout.split("\n\n")[0].splitlines()
    assert heads.split("\t") == ["algorithm", "over", "10 %", "25 %", "50 %", "100 %"]
    assert [row.split("\t")[:2] for row in rows] == [
        [name, over] for name in ("study", "asha(eta=4)") for over in ("epochs", "time")
    ]
    assert "configurations that were tried are not recorded" in found.stderr
    assert "what is better is extrapolated" in found.stderr
    assert plot.read_text().startswith("<svg")


def test_the_recorded_configurations_searched_again_as_they_were(run, recorded):
    """With the same seed, algorithm, workers and speeds it is the same search: it finds what was found."""
    found = run("simulate", recorded, "--only-recorded", "--seeds", 2, "--workers", 4, "--output", "json")
    assert found.exit_code == 0, found.stderr
    runs = json.loads(found.stdout)["algorithms"][0]["runs"]
    assert [run["trials"] for run in runs] == [30, 30]
    assert "are not recorded" not in found.stderr


def test_a_study_file_on_synthetic_curves(run, tmp_path):
    (tmp_path / "study.toml").write_text(FILE)
    arguments = (
        "simulate",
        tmp_path / "study.toml",
        "--algorithm",
        "asha",
        "--algorithm",
        "none",
        "--budget",
        "10x",
    )
    found = run(*arguments, "--curves", "synthetic:noisy", "--output", "csv")
    assert found.exit_code == 0, found.stderr
    heads, *rows = found.stdout.splitlines()
    assert len(rows) == 6
    assert {row.split(",")[heads.split(",").index("units")] for row in rows} == {"270"}
    assert run(*arguments, "--curves", "synthetic:noisy", "--output", "csv").stdout == found.stdout


def test_time_ends_a_run(run):
    found = run(
        "simulate", "--curves", "synthetic:power_law", "--time", "2h", "--seeds", 1, "--output", "json"
    )
    result = json.loads(found.stdout)
    assert result["seconds"] == 7200 and result["algorithms"][0]["runs"][0]["seconds"] == 7200
    assert result["best_known"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected a STUDY, or --curves"),
        (("--curves", "synthetic:noisy", "--recorded", "x"), "expected one of them"),
        (("--curves", "synthetc:noisy"), "did you mean 'synthetic'"),
        (("--curves", "synthetic:noisy", "--algorithm", "ashaa"), "did you mean 'asha'"),
        (("--curves", "synthetic:noisy", "--budget", "many"), "nor of whole trainings like 50x"),
        (("--curves", "synthetic:noisy", "--only-recorded"), "needs recorded curves"),
        (("--function", "nosuchmodule:curve"), "nosuchmodule"),
    ],
)
def test_mistakes_are_named(run, arguments, message):
    found = run("simulate", *arguments)
    assert found.exit_code == 2
    assert message in found.stderr


def test_a_budget_ends_a_simulated_study_at_the_price_that_is_given(run, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(study_template("a").replace("trials = 100", "cost = 2.0"))
    missing = run("simulate", study)
    assert missing.exit_code == 2
    assert "the study has a budget (limits.cost): say what a worker costs, --price-per-hour" in missing.stderr
    found = run("simulate", study, "--price-per-hour", 36, "--seeds", 1, "--output", "json")
    dear = json.loads(found.stdout)["algorithms"][0]["runs"][0]
    found = run("simulate", study, "--price-per-hour", 3, "--seeds", 1, "--output", "json")
    cheap = json.loads(found.stdout)["algorithms"][0]["runs"][0]
    assert 2.0 / 36 <= dear["gpu_hours"] < 2.0 / 3 <= cheap["gpu_hours"]


@pytest.mark.parametrize("name", ["curve_fitting", "curve_regression"])
def test_what_foretells_the_ends_of_curves_saves_resource(run, name):
    """It finds what whole trainings of the same configurations find, or nearly, for much less."""
    found = run(
        *("simulate", "--curves", "synthetic:power_law", "--trials", 30, "--seeds", 1, "--workers", 4),
        *("--algorithm", "none+random", "--algorithm", f"{name}+random", "--output", "json"),
    )
    assert found.exit_code == 0, found.stderr
    answers = json.loads(found.stdout)["algorithms"]
    whole, cut = (answer["runs"][0] for answer in answers)
    assert whole["trials"] == cut["trials"] == 30 and whole["units"] == 30 * 81
    assert cut["units"] < 0.7 * whole["units"]
    assert answers[1]["at"][3]["mean"] <= answers[0]["at"][3]["mean"] + 0.01
