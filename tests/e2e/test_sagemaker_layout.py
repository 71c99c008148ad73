"""`layout = "sagemaker"`: what a script written for SageMaker finds, and what becomes of what it leaves."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storage_schema.errors import UserError
from storage_schema.records import Program
from tests.attempts import Attempts, Make, python, trial_file, user_environment
from tests.e2e.slow_training import state_after
from tests.waiting import wait_until
from workers.trial_process import make_launcher

SCRIPT = Path(__file__).with_name("sagemaker_training.py")
LOSS = (("loss", r"validation-loss=([0-9.e+-]+);"),)

SHOW = """
import json, os, sys
from pathlib import Path
config = Path(os.environ["SM_INPUT_CONFIG_DIR"])
print(json.dumps({
    "arguments": sys.argv[1:],
    "environment": {k: v for k, v in os.environ.items() if k.startswith(("SM_", "SAGE", "TRAINING", "OUT"))},
    "files": {path.name: json.loads(path.read_text()) for path in config.iterdir()},
    "channels": {path.name: sorted(os.listdir(path)) for path in (config.parent / "data").iterdir()},
    "folders": [os.path.isdir(os.environ[n]) for n in ("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR", "SM_CHECKPOINT_DIR")],
}))
"""
PARAMETERS = {
    "learning-rate": 1e-05,
    "b": True,
    "note": "plain words",
    "layers": [1, 2],
    "out": "/opt/ml/checkpoints/x",
}


def shown(
    make: Make, tmp_path: Path, *command: str, variables: dict[str, str] | None = None, **more: Any
) -> Any:
    attempts = make(variables or {}, command=(*python(SHOW), *command), layout="sagemaker", **more)
    outcome = attempts.run(gpus=("3", "5"), parameters=PARAMETERS)
    assert outcome.ended.status == 0, outcome.output
    return json.loads(outcome.output), outcome.folder / "opt" / "ml"


def test_a_script_finds_what_the_toolkit_would_give_it(make: Make, tmp_path: Path) -> None:
    found, root = shown(make, tmp_path, "{args}")
    variables = found["environment"]
    strings = {
        "learning-rate": "1e-05",
        "b": "true",
        "note": "plain words",
        "layers": "[1,2]",
        "out": f"{root}/checkpoints/x",
    }
    assert found["files"]["hyperparameters.json"] == strings
    values = {**strings, "learning-rate": 1e-05, "b": True, "layers": [1, 2]}
    assert json.loads(variables["SM_HPS"]) == values
    assert json.loads(variables["SM_TRAINING_ENV"])["hyperparameters"] == values
    assert variables["SM_HP_LEARNING-RATE"] == "1e-05"
    assert variables["SM_HP_B"] == "true"
    assert variables["SM_HP_NOTE"] == "plain words"
    arguments = ["-b", "True", "--layers", "[1, 2]", "--learning-rate", "1e-05", "--note", "plain words"]
    assert found["arguments"] == [*arguments, "--out", f"{root}/checkpoints/x"]
    assert json.loads(variables["SM_USER_ARGS"]) == found["arguments"]
    assert json.loads(variables["SM_HOSTS"]) == [variables["SM_CURRENT_HOST"]] == ["algo-1"]
    assert json.loads(variables["SM_RESOURCE_CONFIG"]) == found["files"]["resourceconfig.json"]
    assert found["files"]["resourceconfig.json"]["hosts"] == ["algo-1"]
    assert variables["SM_NUM_GPUS"] == "2"
    assert int(variables["SM_NUM_CPUS"]) >= 1
    for name, place in {
        "SM_MODEL_DIR": "model",
        "SM_OUTPUT_DIR": "output",
        "SM_OUTPUT_DATA_DIR": "output/data",
        "SM_INPUT_DIR": "input",
        "SM_CHECKPOINT_DIR": "checkpoints",
        "SAGEMAKER_BASE_DIR": ".",
    }.items():
        assert Path(variables[name]) == root / place
    assert found["folders"] == [True, True, True]
    assert variables["SM_LOG_LEVEL"] == "20"
    assert variables["TRAINING_JOB_NAME"] == "s-00000007"
    assert variables["SM_CHANNELS"] == "[]"


def test_paths_below_opt_ml_lead_into_the_trials_own(make: Make, tmp_path: Path) -> None:
    found, root = shown(
        make,
        tmp_path,
        "/opt/ml/model",
        "--out=/opt/ml/output",
        "/opt/mlx",
        "a/opt/ml",
        environment=(("OUT", "/opt/ml/checkpoints"),),
    )
    assert found["arguments"] == [f"{root}/model", f"--out={root}/output", "/opt/mlx", "a/opt/ml"]
    assert found["environment"]["OUT"] == f"{root}/checkpoints"


def test_channels_are_folders_of_the_workers_machine(make: Make, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.csv").touch()
    (tmp_path / "work" / "near").mkdir(parents=True)
    variables = {
        "SM_CHANNEL_TRAIN": str(tmp_path / "far"),
        "SM_CHANNELS": '["Val.1"]',
        "SM_CHANNEL_VAL.1": "near",
    }
    found, root = shown(make, tmp_path, variables=variables)
    assert found["channels"] == {"train": ["a.csv"], "Val.1": []}
    assert found["environment"]["SM_CHANNEL_TRAIN"] == f"{root}/input/data/train"
    assert json.loads(found["environment"]["SM_CHANNELS"]) == ["Val.1", "train"]
    assert found["files"]["inputdataconfig.json"]["train"]["TrainingInputMode"] == "File"


def test_a_channel_without_its_folder_is_refused_by_its_variable(make: Make) -> None:
    with pytest.raises(
        UserError, match=r"SM_CHANNEL_TRAIN is 'nowhere', and there is no such file or folder"
    ):
        make({"SM_CHANNEL_TRAIN": "nowhere"}, command=("true",), layout="sagemaker").start()


def test_what_a_script_says_of_its_failure_is_in_the_records_tail(make: Make) -> None:
    text = """
import os
print("some output", flush=True)
with open(os.environ["SM_OUTPUT_DIR"] + "/failure", "w") as file:
    file.write("Exception: out of data; https://me:hunter2hunter2@host/ " + "x" * 5000)
raise SystemExit(3)
"""
    attempts = make({}, command=python(text), layout="sagemaker")
    process, _, _ = attempts.start()
    assert wait_until(process.poll, 10, "its end").status == 3
    lines = process.tail().splitlines()
    assert lines[0] == "some output"
    assert lines[1].startswith("/opt/ml/output/failure: Exception: out of data; ")
    assert "hunter2" not in lines[1]
    assert len(lines[1]) < 1100


@pytest.fixture
def attempts(tmp_path: Path) -> Any:
    """Attempts of the SageMaker script, of a training of 5 epochs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shift.txt").write_text("0.0")
    program = Program(
        command=(sys.executable, str(SCRIPT), "{args}", "--checkpoint-path", "/opt/ml/checkpoints"),
        metric_patterns=LOSS,
        layout="sagemaker",
    )
    made = Attempts(
        make_launcher(
            program,
            user_environment=user_environment(SM_CHANNEL_TRAINING=str(tmp_path / "data")),
            workdir=tmp_path,
            objective="loss",
            grace_s=2.0,
            longest=5,
        ),
        tmp_path / "attempts",
    )
    yield made
    made.close()


def saved(checkpoint: Path) -> dict[str, str]:
    return {
        str(p.relative_to(checkpoint)): p.read_text() for p in sorted(checkpoint.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize(
    ("save_first", "save_every", "training_s", "evaluation_s"),
    [(True, 1, 0.8, 0.0), (False, 1, 0.8, 0.0), (True, 2, 0.9, 0.6)],
)
def test_a_checkpoint_belongs_to_the_report_beside_it(
    attempts: Attempts, save_first: bool, save_every: int, training_s: float, evaluation_s: float
) -> None:
    seconds = {"epoch-seconds": training_s, "evaluation-seconds": evaluation_s, "save-every": save_every}
    parameters = {"learning-rate": 0.1, "epochs": 50, "save-first": save_first, **seconds}
    process, file, _ = attempts.start(parameters=parameters, to=9)
    folder, reports = Path(file.checkpoint_dir), []
    found: dict[str, str] = {}

    def saved_often_enough() -> bool:
        reports.extend(process.reports())
        for place in folder.glob("[0-9]*"):
            found[place.name] = json.loads((place / "checkpoints" / "state.json").read_text())["epoch"]
        return len(found) >= 2 // save_every

    wait_until(saved_often_enough, 20, "its checkpoints")
    assert {name: int(name) for name in found} == found
    process.kill()
    wait_until(process.poll, 10, "its end")


def test_a_training_resumes_from_what_it_saved_and_its_model_is_kept_at_the_end(attempts: Attempts) -> None:
    parameters = {"learning-rate": 0.1, "epochs": 3, "optimizer": "adam"}
    first = attempts.run(parameters=parameters, to=3)
    assert first.ended.status == 0, first.output
    assert [resource for resource, _ in first.curve] == [1, 2, 3]
    assert first.checkpoints == ["3"]
    place = Path(first.file.checkpoint_dir) / "3"
    assert list(saved(place)) == ["checkpoints/state.json"], (
        "the model counts at the end of the whole training"
    )
    restored = attempts.root / "attempt-1" / "restored"
    restored.parent.mkdir()
    place.rename(restored)
    second = attempts.run(parameters=parameters | {"epochs": 5}, to=5, start=3, restored=str(restored))
    assert "resumed after epoch 3" in second.output
    assert second.curve == [(n, {"loss": state_after(0.1, n)}) for n in (4, 5)]
    assert second.checkpoints == ["5"]
    kept = saved(Path(second.file.checkpoint_dir) / "5")
    assert list(kept) == ["checkpoints/state.json", "model/model.json", "output/data/notes.txt"]
    assert json.loads(kept["model/model.json"])["state"] == state_after(0.1, 5)


def test_a_training_without_a_resource_is_saved_too(attempts: Attempts) -> None:
    parameters = {"learning-rate": 0.1, "epochs": 3}
    done = attempts.run(parameters=parameters, to=None, resource_name=None)
    assert done.checkpoints == ["3"]
    assert "model/model.json" in saved(Path(done.file.checkpoint_dir) / "3")


ASKED = """
import os, signal, sys, time
times = []
def caught(number, frame):
    times.append(number)
    with open(os.environ["SM_CHECKPOINT_DIR"] + "/state", "w") as file:
        file.write("saved")
    print("validation-loss=0.5;", flush=True)
    time.sleep(0.5)
    print("signals:", len(times))
    sys.exit(0)
signal.signal(signal.SIGTERM, caught)
print("validation-loss=0.7;", flush=True)
time.sleep(60)
"""


def test_sigterm_comes_at_once_and_once_and_is_no_end_of_the_training(make: Make) -> None:
    attempts = make({}, command=python(ASKED), layout="sagemaker", metric_patterns=LOSS)
    process, file, folder = attempts.start(to=None, resource_name=None)
    wait_until(lambda: process.reports(), 10, "the first report")
    began = time.monotonic()
    process.ask_to_stop("interrupt")
    process.poll()
    wait_until(lambda: process.reports(), 10, "the last report")
    process.terminate()
    outcome = attempts.outcome(process, file, folder)
    assert time.monotonic() - began < 5
    assert outcome.output.splitlines()[-1] == "signals: 1"
    assert outcome.ended.status == 75, "exit status 0 after SIGTERM does not make a training complete"
    assert saved(Path(file.checkpoint_dir) / outcome.checkpoints[-1]) == {"checkpoints/state": "saved"}


def test_a_training_that_is_killed_within_a_unit_leaves_nothing_doubtful(attempts: Attempts) -> None:
    parameters = {"learning-rate": 0.1, "epochs": 9, "epoch-seconds": 0.6, "save-first": True}
    process, file, _ = attempts.start(parameters=parameters, to=9)
    state = Path(file.checkpoint_dir).parent / "opt" / "ml" / "checkpoints" / "state.json"
    wait_until(state.is_file, 10, "its first checkpoint")
    os.kill(process._running._group._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    wait_until(process.poll, 10, "its end")
    process.reports()
    assert not list(Path(file.checkpoint_dir).glob("[0-9]*")), (
        "it was saved a moment ago, perhaps not yet wholly"
    )


def test_links_are_followed_within_the_folder_and_not_out_of_it(make: Make) -> None:
    text = """
import os
folder = os.environ["SM_CHECKPOINT_DIR"]
os.mkdir(folder + "/step-5")
open(folder + "/step-5/w", "w").write("weights")
os.symlink("step-5", folder + "/latest")
os.symlink(folder + "/step-5/w", folder + "/best")
os.symlink("/etc/passwd", folder + "/out")
os.symlink("..", folder + "/up")
print("validation-loss=0.7;", flush=True)
"""
    outcome = make({}, command=python(text), layout="sagemaker", metric_patterns=LOSS).run()
    kept = saved(Path(outcome.file.checkpoint_dir) / "1")
    assert kept == {f"checkpoints/{name}": "weights" for name in ("best", "latest/w", "step-5/w")}
    complaint = "/opt/ml/checkpoints/{} is not saved: a link to no file or folder beside it"
    assert sorted(outcome.bad_lines) == [complaint.format("out"), complaint.format("up")]
    assert f"hpo-pipe: {complaint.format('out')}" in outcome.output


def test_a_link_in_the_place_of_a_folder_leads_nowhere(make: Make, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "data").mkdir(parents=True)
    for name in ("data/key", "failure"):
        (theirs / name).write_text("not for the study")
    text = """
import os, shutil, sys
for name in ("output", "checkpoints", "model"):
    path = os.environ["SAGEMAKER_BASE_DIR"] + "/" + name
    shutil.rmtree(path)
    os.symlink(sys.argv[1], path)
print("validation-loss=0.7;", flush=True)
"""
    attempts = make({}, command=(*python(text), str(theirs)), layout="sagemaker", metric_patterns=LOSS)
    process, file, folder = attempts.start(to=None, resource_name=None)
    outcome = attempts.outcome(process, file, folder)
    assert outcome.ended.status == 0, outcome.output
    assert outcome.checkpoints == []
    assert "not for the study" not in process.tail()
    assert [line.partition(":")[0] for line in outcome.bad_lines] == [
        "/opt/ml/checkpoints is not saved",
        "/opt/ml/model is not kept",
        "/opt/ml/output/data is not kept",
    ]


HARD_CODED = """
import json
with open("{path}/input/config/hyperparameters.json") as file:
    json.load(file)
with open("{path}/model/model", "w") as file:
    file.write("m")
print("validation-loss=0.5;")
"""


def test_a_path_that_is_written_into_a_script_can_lead_to_its_trials_files(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "opt-ml"
    program = {"command": python(HARD_CODED.replace("{path}", str(path))), "layout": "sagemaker"}
    attempts = make({"HPO_PIPE_OPT_ML": str(path)}, metric_patterns=LOSS, **program)
    for number in (1, 2):
        done = attempts.run(to=None, resource_name=None)
        assert done.ended.status == 0, done.output
        assert list(saved(Path(done.file.checkpoint_dir) / "1")) == ["model/model"], f"of trial {number}"
    other = make({"HPO_PIPE_OPT_ML": str(path)}, **program)
    with pytest.raises(UserError, match=r"HPO_PIPE_OPT_ML: another trial on this machine has .*: --slots 1"):
        other.start()
    attempts.close()
    assert not path.is_symlink()
    third = make({"HPO_PIPE_OPT_ML": str(path)}, **program)
    third.start()
    third.close()
    path.mkdir()
    with pytest.raises(UserError, match="exists and is no link"):
        make({"HPO_PIPE_OPT_ML": str(path)}, **program).start()
    with pytest.raises(UserError, match="HPO_PIPE_OPT_ML is 'opt', expected an absolute path"):
        make({"HPO_PIPE_OPT_ML": "opt"}, **program)


def test_the_study_record_keeps_the_layout() -> None:
    program = Program(command=("true",), layout="sagemaker")
    assert program.to_json()["layout"] == "sagemaker"
    assert "layout" not in Program(command=("true",)).to_json()
    assert trial_file(Path("/x")).restored is None
