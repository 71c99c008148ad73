"""``submit aws-batch`` from request to logs against moto's Batch, which runs nothing: jobs end at once.

It takes no retry strategy, tells no exit codes, and its arrays count their children late; that is scripted elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from hpo_pipe.launch.target import JobState
from hpo_pipe.launch.targets.aws_batch import TARGET
from tests.unit.launch.orders import in_region, order
from tests.waiting import wait_until

WITH_IMAGE = {"job_queue": "gpus", "vcpus": 1, "memory": 512}


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    in_region(monkeypatch)
    with mock_aws(config={"batch": {"use_docker": False}}):
        iam = boto3.client("iam", region_name="eu-west-1")
        role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        ec2 = boto3.client("ec2", region_name="eu-west-1")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        made = boto3.client("batch", region_name="eu-west-1")
        iam.create_instance_profile(InstanceProfileName="machines")
        profile = iam.get_instance_profile(InstanceProfileName="machines")["InstanceProfile"]["Arn"]
        environment = made.create_compute_environment(
            computeEnvironmentName="spot",
            type="MANAGED",
            serviceRole=role,
            computeResources={
                "type": "SPOT",
                "minvCpus": 0,
                "maxvCpus": 8,
                "instanceTypes": ["g4dn"],
                "subnets": [subnet],
                "securityGroupIds": [group],
                "instanceRole": profile,
            },
        )["computeEnvironmentArn"]
        made.create_job_queue(
            jobQueueName="gpus",
            state="ENABLED",
            priority=1,
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
        )
        yield made


def test_an_array_is_submitted_once_and_found_by_its_name(batch: Any) -> None:
    ordered = order(TARGET, WITH_IMAGE, 3, image="repo/train:1", secrets=())
    first = TARGET.launch(ordered)
    assert first.workers == 3 and len(first.jobs) == 1 and first.refusal is None
    assert TARGET.launch(ordered) == first, "called again, even by another launcher, it adds nothing"
    parents = [
        job for job in batch.describe_jobs(jobs=[])["jobs"] if "size" in job.get("arrayProperties", {})
    ]
    assert [job["jobId"] for job in parents] == list(first.jobs)
    assert parents[0]["tags"]["hpo-pipe:submission"] == ordered.name
    definitions = batch.describe_job_definitions()["jobDefinitions"]
    assert [definition["revision"] for definition in definitions] == [1]

    def ended() -> bool:
        return TARGET.look(ordered, ()).alive == 0  # its id was never recorded

    wait_until(ended, 30, "moto's jobs to end")
    assert TARGET.look(ordered, first.jobs).counts == {JobState.DONE: 3}
    assert TARGET.cancel(ordered, first.jobs) == 0


def test_the_definition_is_used_again_by_the_next_submission(batch: Any) -> None:
    for number in (1, 2):
        assert TARGET.launch(order(TARGET, WITH_IMAGE, 1, number, image="repo/train:1")).workers == 1
    assert len(batch.describe_job_definitions()["jobDefinitions"]) == 1
    assert len(batch.describe_jobs(jobs=[])["jobs"]) == 2


def test_a_queue_or_a_definition_that_is_not_there(batch: Any) -> None:
    nowhere = TARGET.launch(order(TARGET, {**WITH_IMAGE, "job_queue": "cpus"}, image="repo/train:1"))
    assert (nowhere.workers, nowhere.refusal) == (0, "invalid")
    assert "cpus does not exist" in nowhere.message
    unknown = TARGET.launch(order(TARGET, {"job_queue": "gpus", "job_definition": "worker"}))
    assert (unknown.workers, unknown.refusal) == (0, "invalid")
    assert "worker" in unknown.message
