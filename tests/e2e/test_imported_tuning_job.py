"""A script written for SageMaker, unchanged, under an imported tuning job: flags in, printed metrics out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.tuning_job.requests import CONFIG, DEFINITION, changed, small

SCRIPT = """\
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--optimizer", choices=["sgd", "adam"], required=True)
parser.add_argument("-w", "--workers", type=int, required=True)
given = parser.parse_args()
with open(os.path.join(os.environ["SM_INPUT_CONFIG_DIR"], "hyperparameters.json")) as file:
    assert json.load(file)["w"] == "0" and json.loads(os.environ["SM_HPS"])["w"] == given.workers == 0
for epoch in range(given.epochs):
    print(f"epoch {epoch}: loss={given.lr * 2 ** -epoch:.6f}; done")
"""


def test_a_script_written_for_sagemaker_runs_unchanged(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    ranges = [{"Name": "lr", "MinValue": "1e-4", "MaxValue": "0.1", "ScalingType": "Logarithmic"}]
    request = changed(small(), ranges, CONFIG, "ParameterRanges", "ContinuousParameterRanges")
    request = changed(
        request, ['"sgd"', '"adam"'], CONFIG, "ParameterRanges", "CategoricalParameterRanges", 0, "Values"
    )
    request = changed(request, 3, CONFIG, "ResourceLimits", "MaxNumberOfTrainingJobs")
    static = {"epochs": "4", "w": "0", "sagemaker_program": '"train.py"'}
    request = changed(request, static, DEFINITION, "StaticHyperParameters")
    patterns = [{"Name": "loss", "Regex": r"loss=([0-9]+(.|e\-)[0-9]+)"}]
    request = changed(request, patterns, DEFINITION, "AlgorithmSpecification", "MetricDefinitions")
    (tmp_path / "job.json").write_text(json.dumps(request))

    def hpo_pipe(*words: str) -> str:
        command = [sys.executable, "-m", "hpo_pipe", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    hpo_pipe("import", "sagemaker", "job.json", "study.toml")
    hpo_pipe("run", "study.toml", "./study")
    trials = json.loads(hpo_pipe("trials", "./study", "--json"))
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 3
    for trial in trials:
        last = trial["params"]["lr"] / 8
        assert abs(trial["value"] - last) < 1e-6, "the last match of the first group counts"
        assert trial["params"]["optimizer"] in ("sgd", "adam")
