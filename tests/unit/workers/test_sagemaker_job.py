"""What a training job's files and variables come to, for its worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage_schema.errors import UserError
from workers.sagemaker import job_arguments

HOSTS = {"current_host": "algo-1", "hosts": ["algo-1"], "current_instance_type": "ml.p4d.24xlarge"}
ARN = "arn:aws-cn:sagemaker:cn-north-1:111122223333:training-job/hpo-resnet-0007"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "input" / "config").mkdir(parents=True)
    write(tmp_path, "hyperparameters", {"study": "s3://b/s", "slots": "2"})
    write(tmp_path, "resourceconfig", HOSTS)
    return tmp_path


def write(root: Path, name: str, content: Any) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "input" / "config" / f"{name}.json").write_text(text)


def test_a_job_says_who_its_worker_is(root: Path) -> None:
    variables = {"TRAINING_JOB_NAME": "hpo-resnet-0007", "TRAINING_JOB_ARN": ARN}
    assert job_arguments(root, variables) == ["--name=hpo-resnet-0007", "--slots=2", "--", "s3://b/s"]
    assert variables["HPO_PIPE_PROVIDER"] == "sagemaker"
    assert variables["HPO_PIPE_INSTANCE_TYPE"] == "ml.p4d.24xlarge"
    assert variables["HPO_PIPE_REGION"] == "cn-north-1"


def test_what_the_launcher_says_holds(root: Path) -> None:
    write(root, "hyperparameters", {"study": "s3://b/s", "name": "mine"})
    variables = {
        "HPO_PIPE_INSTANCE_TYPE": "ml.x",
        "HPO_PIPE_REGION": "here",
        "HPO_PIPE_PROVIDER": "aws-batch",
    }
    before = dict(variables)
    assert job_arguments(root, variables)[-3:] == ["--name=mine", "--", "s3://b/s"]
    assert variables == before


def test_the_hosts_of_a_job_have_names_of_their_own_however_long_the_jobs_is(root: Path) -> None:
    hosts = ["algo-1", "algo-2"]
    names = []
    for host in hosts:
        write(root, "resourceconfig", {"current_host": host, "hosts": hosts})
        names.append(job_arguments(root, {"TRAINING_JOB_NAME": "x" * 63})[0].removeprefix("--name="))
    assert [name[-7:] for name in names] == ["-algo-1", "-algo-2"]
    assert {len(name) for name in names} == {36}, "what is kept of a name in a worker's id"


def test_channels_that_are_folders_are_told_to_trials(root: Path) -> None:
    for name in ("Train.v2", "feed_0"):
        (root / "input" / "data" / name).mkdir(parents=True)
    write(root, "inputdataconfig", {"Train.v2": {}, "feed": {"TrainingInputMode": "Pipe"}})
    variables: dict[str, str] = {}
    job_arguments(root, variables)
    assert variables["SM_CHANNEL_TRAIN.V2"] == str(root / "input" / "data" / "Train.v2")
    assert variables["SM_CHANNELS"] == '["Train.v2"]'
    assert "SM_CHANNEL_FEED" not in variables


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("hyperparameters", "[]", "hyperparameters.json: holds list, expected an object"),
        ("hyperparameters", '{"a"', "hyperparameters.json: not JSON"),
        ("hyperparameters", "[" * 100_000, "hyperparameters.json: not JSON"),
        ("hyperparameters", " " * (1024 * 1024 + 1), "more than 1048576 bytes"),
        (
            "hyperparameters",
            {"study": ["x"]},
            r"study is \"\['x'\]\", expected a text, as all values there are",
        ),
        ("resourceconfig", {}, "current_host is 'None' and hosts is 'None', expected a text, and a list"),
        (
            "resourceconfig",
            {"current_host": "a", "hosts": ["b"]},
            "expected a text, and a list that it is in",
        ),
        ("inputdataconfig", "1", "inputdataconfig.json: holds int"),
    ],
)
def test_a_file_that_is_not_sagemakers_is_named(root: Path, name: str, content: Any, words: str) -> None:
    write(root, name, content)
    with pytest.raises(UserError, match=words):
        job_arguments(root, {})
