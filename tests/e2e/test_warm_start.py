"""Studies that start from another one, through real processes, in both modes; the other one is gone by then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

TRAIN = """
from hpo_pipe.trial import current_trial

trial = current_trial()
for epoch in trial.steps():
    trial.report(loss=(trial.params["x"] - 0.3) ** 2 + 1 / (epoch + 1))
"""

STUDY = """
name = "{name}"
command = ["{python}", "train.py"]
seed = 1

[metric]
name = "loss"

[parameters]
x = {{ type = "float", min = 0.0, max = 1.0 }}

[resource]
max = 4
eta = 2

[algorithm]
searcher = "{searcher}"

[limits]
trials = {trials}

[worker]
flush = 0.5
lease = 5
tick = 0.2
"""


@pytest.mark.parametrize("mode", ["transfer", "identical"])
def test_a_study_goes_on_from_where_another_one_ended(tmp_path: Path, mode: str) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    write = partial(STUDY.format, python=sys.executable)
    (tmp_path / "first.toml").write_text(write(name="first", searcher="sobol", trials=10))
    warm = f'[warm_start]\nstudies = ["first"]\nmode = "{mode}"\n'
    searcher = {"transfer": "rgpe", "identical": "gp"}[mode]
    (tmp_path / "second.toml").write_text(write(name="second", searcher=searcher, trials=7) + warm)
    call = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    command = [sys.executable, "-m", "hpo_pipe"]
    assert call([*command, "run", "first.toml", "first"]).returncode == 0
    best = json.loads(call([*command, "best", "first", "--json"]).stdout)
    created = call([*command, "create", "second.toml", "second"])
    assert f"warm start ({mode}): 10 results of 1 study taken over" in created.stderr
    shutil.rmtree(tmp_path / "first")
    done = call([*command, "run", "second.toml", "second", "--slots", "2"])
    assert done.returncode == 0, done.stderr
    trials = json.loads(call([*command, "trials", "second", "--json"]).stdout)
    assert (trials[0]["origin"], trials[0]["params"]) == ("warm_start", best["params"])
    assert searcher in {trial["origin"] for trial in trials}
    why = call([*command, "why", "second", "6"]).stdout + call([*command, "why", "second", "5"]).stdout
    told = "of studies, weighted by how they rank" if mode == "transfer" else "of other studies) at epoch"
    assert told in why, why
    replay = call([*command, "replay", "second"])
    assert (replay.returncode, "0 of them otherwise" in replay.stdout + replay.stderr) == (0, True)
