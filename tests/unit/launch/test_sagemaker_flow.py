"""``submit sagemaker`` from request to logs against moto, whose jobs have ended as soon as they are created.

It lets one name be used twice and stops nothing; that is scripted elsewhere.
"""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from hpo_pipe.launch.target import JobState
from hpo_pipe.launch.targets.sagemaker import TARGET
from tests.unit.launch.orders import in_region, order

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GIVEN = {"instance_type": ["ml.g5.xlarge"], "role_arn": "arn:aws:iam::111122223333:role/hpo-pipe-worker"}
GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    in_region(monkeypatch)
    with mock_aws():
        yield boto3.client("sagemaker", region_name="eu-west-1")


def test_one_job_for_each_worker_found_by_name_with_its_logs(cloud: Any) -> None:
    ordered = order(TARGET, GIVEN, 3, image=IMAGE, hiring="spot")
    other = order(TARGET, GIVEN, 1, number=30, image=IMAGE)
    launched = TARGET.launch(ordered)
    assert launched.jobs == tuple(ordered.job_name(index) for index in range(3))
    assert TARGET.launch(other).workers == 1

    assert TARGET.look(ordered, launched.jobs).counts == {JobState.DONE: 3}
    assert TARGET.look(ordered, ()).counts == {JobState.DONE: 3}, "also where no id was recorded"
    assert TARGET.look(other, ()).counts == {JobState.DONE: 1}
    assert TARGET.cancel(ordered, launched.jobs) == 0

    told = cloud.describe_training_job(TrainingJobName=launched.jobs[0])
    assert told["EnableManagedSpotTraining"] is True
    assert told["HyperParameters"]["study"] == "s3://bucket/studies/first"
    tags = cloud.list_tags(ResourceArn=told["TrainingJobArn"])["Tags"]
    assert {"Key": "hpo-pipe:submission", "Value": ordered.name} in tags

    logs = boto3.client("logs", region_name="eu-west-1")
    assert list(TARGET.logs(ordered, launched.jobs, None, 10)) == [], "no worker has printed yet"
    now = int(time.time() * 1000)
    logs.create_log_group(logGroupName=GROUP)
    for name, words in (
        (f"{launched.jobs[1]}/algo-1-1700000000", "old"),
        (f"{launched.jobs[1]}/algo-1-1800000000", "new"),
    ):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
        events = [{"timestamp": now + i, "message": f"{words} {i}\x1b[2J"} for i in range(30)]
        logs.put_log_events(logGroupName=GROUP, logStreamName=name, logEvents=events)
    found = list(TARGET.logs(ordered, launched.jobs, None, 2))
    assert found == [f"==> {launched.jobs[1]} <==", "new 28\\x1b[2J", "new 29\\x1b[2J"]
    assert list(TARGET.logs(ordered, launched.jobs, launched.jobs[1], 1)) == [found[0], found[2]]
    assert list(TARGET.logs(ordered, launched.jobs, launched.jobs[0], 1)) == []
