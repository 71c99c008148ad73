"""A study with conditional parameters, priors and forbidden combinations, through real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

TRAIN = """
import argparse, json
from hpo_pipe.trial import current_trial

parser = argparse.ArgumentParser()
for name in ("lr", "optimizer", "momentum", "nesterov"):
    parser.add_argument(f"--{name}")
parser.add_argument("--all")
given = vars(parser.parse_args())
trial = current_trial()
everything = json.loads(given.pop("all"))
assert everything == trial.params, everything
assert {n for n in given if given[n] is not None} == set(trial.params), (given, trial.params)
assert (trial.params["optimizer"] == "sgd") == ("momentum" in trial.params)
assert ("nesterov" in trial.params) == (trial.params.get("momentum", 0) >= 0.8)
for epoch in trial.steps():
    trial.report(loss=abs(trial.params["lr"] - 0.01))
"""

STUDY = """
name = "conditional"
command = ["{python}", "train.py", "--lr={{lr}}", "--optimizer", "{{optimizer}}", "--momentum", "{{momentum}}",
           "--nesterov={{nesterov}}", "--all", "{{args_json}}"]
seed = 3

[metric]
name = "loss"

[parameters]
lr = {{ type = "float", min = 1e-4, max = 1e-1, log = true, prior = {{ value = 0.01, confidence = "high" }} }}
nesterov = {{ type = "bool", when = {{ momentum = {{ min = 0.8 }} }} }}
momentum = {{ type = "float", min = 0.5, max = 0.99, scale = "reverse-log", when = {{ optimizer = "sgd" }} }}
optimizer = {{ type = "categorical", values = ["sgd", "adam"], probabilities = [0.7, 0.3] }}

[[forbidden]]
optimizer = "adam"
lr = {{ min = 0.05 }}

[[enqueue]]
nesterov = true

[resource]
max = 3

[algorithm]
searcher = "random"

[limits]
trials = 12
"""


def hpo_pipe(*arguments: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpo_pipe", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_a_conditional_study_runs_is_read_and_replays(tmp_path: Path) -> None:
    run = partial(hpo_pipe, cwd=tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.toml").write_text(STUDY.format(python=sys.executable))
    created = run("create", "study.toml", "study")
    assert created.returncode == 0, created.stderr
    assert "nesterov: only where momentum >= 0.8" in created.stderr
    assert "never: lr >= 0.05 and optimizer = 'adam'" in created.stderr
    assert "priors: lr, optimizer" in created.stderr
    wished = run("enqueue", "study", "optimizer=adam", "momentum=0.9", "lr=0.01")
    assert "left out, because it is inactive beside the others: momentum" in wished.stderr
    refused = run("enqueue", "study", "optimizer=adam", "lr=0.09")
    assert refused.returncode == 2 and "the combination is forbidden" in refused.stderr

    done = run("run", "study.toml", "study", "--workers", "2")
    assert done.returncode == 0, done.stderr
    trials = json.loads(run("trials", "study", "--json").stdout)
    assert len(trials) == 12
    assert not [t for t in trials if t["state"] == "FAILED"], trials
    assert trials[0]["params"]["nesterov"] is True
    assert trials[1]["params"] == {"lr": 0.01, "optimizer": "adam"}
    assert {"sgd", "adam"} == {t["params"]["optimizer"] for t in trials}
    heading, *rows = [row.split("\t") for row in run("trials", "study").stdout.rstrip("\n").split("\n")]
    assert heading[5:] == ["lr", "nesterov", "momentum", "optimizer"]
    assert rows[1][5:] == ["0.01", "", "", "adam"]
    assert "drawn from the priors" in run("why", "study", "2").stdout
    assert run("replay", "study").returncode == 0
