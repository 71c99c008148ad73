"""A study with two objectives and a bound, through real processes: run, best, replay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OTHERS = ["hyperband", "asha_stopping"]
TRAIN = """
def main(trial):
    x = trial.params["x"]
    for epoch in trial.steps():
        trial.report(error=(1 - x) ** 2 + 0.1 / (epoch + 1), size=4 * x * x, latency=10 * x, aside=epoch)
"""

STUDY = """
name = "trade-off"
function = "train:main"
seed = 3

[[metric]]
name = "error"

[[metric]]
name = "size"
goal = "minimize"

[[metric]]
name = "latency"
max = 8

[[metric]]
name = "aside"

[parameters]
x = { type = "float", min = 0.0, max = 1.0 }

[resource]
max = 9

[algorithm]
scheduler = "SCHEDULER"
searcher = "tpe"
n_startup_trials = 5

[limits]
trials = 18
"""


@pytest.mark.parametrize(
    "scheduler",
    ["asha", *(pytest.param(n, marks=[pytest.mark.slow, pytest.mark.timeout(300)]) for n in OTHERS)],
)
def test_a_study_of_trade_offs(tmp_path: Path, scheduler: str) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.toml").write_text(STUDY.replace("SCHEDULER", scheduler))

    def hpo(*arguments: str) -> str:
        command = [sys.executable, "-m", "hpo_pipe", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    hpo("run", "study.toml", "./study", "--workers", "2")
    found = json.loads(hpo("best", "./study", "--json"))
    points = [(t["values"]["error"], t["values"]["size"]) for t in found["front"]]
    assert len(points) >= 2 and found["hypervolume"] > 0
    assert points == sorted(points) and [size for _, size in points] == sorted(
        (s for _, s in points), reverse=True
    )
    trials = json.loads(hpo("trials", "./study", "--json"))
    measured = [t for t in trials if t["feasible"] is not None]
    assert measured and all(t["feasible"] == (t["values"]["latency"] <= 8) for t in measured)
    assert all(t["feasible"] and t["params"]["x"] <= 0.8 for t in found["front"])
    hpo("replay", "./study")
