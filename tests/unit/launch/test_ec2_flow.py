"""``submit ec2`` from request to console output against moto, whose machines run as soon as they are asked for."""

import base64
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from hpo_pipe.launch import aws
from hpo_pipe.launch.iam import Named, launch_policy
from hpo_pipe.launch.target import JobState, Refusal
from hpo_pipe.launch.targets.ec2 import TARGET
from tests.unit.launch.orders import in_region, order

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GRANTED_ELSEWHERE = {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"}
"""What a fleet does in its caller's name."""


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    in_region(monkeypatch)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # a second for each test
    with mock_aws():
        yield boto3.client("ec2", region_name="eu-west-1")


def an_image(cloud: Any) -> str:
    return str(cloud.register_image(Name="gpus", RootDeviceName="/dev/sda1")["ImageId"])


def given(cloud: Any) -> dict[str, Any]:
    subnets = cloud.describe_subnets()["Subnets"]
    return {
        "instance_type": ["g5.xlarge", "g4dn.xlarge"],
        "image_id": an_image(cloud),
        "iam_instance_profile": "hpo-pipe-worker",
        "root_device_name": "/dev/sda1",
        "subnet_ids": [subnet["SubnetId"] for subnet in subnets[:2]],
    }


@pytest.mark.parametrize("hiring", ["spot", "on-demand"])
def test_one_fleet_found_by_its_tag_and_ended(cloud: Any, hiring: str) -> None:
    options = given(cloud)
    ordered = order(TARGET, options, 3, image=IMAGE, hiring=hiring)
    other = order(TARGET, options, 1, number=30, image=IMAGE, hiring=hiring)
    launched = TARGET.launch(ordered)
    assert (len(set(launched.jobs)), launched.workers, launched.refusal) == (3, 3, None)
    again = TARGET.launch(ordered)
    assert set(again.jobs) == set(launched.jobs), "nothing is started twice"
    assert TARGET.launch(other).workers == 1
    assert len(cloud.describe_launch_templates()["LaunchTemplates"]) == 1, "equal workers, one template"

    look = TARGET.look(ordered, launched.jobs)
    assert look.counts == {JobState.RUNNING: 3}
    assert {job.id for job in look.jobs} == set(launched.jobs)
    assert TARGET.look(ordered, ()).counts == {JobState.RUNNING: 3}, "also where no id was recorded"
    assert TARGET.cancel(ordered, launched.jobs, pending_only=True) == 0
    assert TARGET.cancel(ordered, ()) == 3
    assert TARGET.cancel(ordered, ()) == 0
    assert TARGET.look(ordered, launched.jobs).counts == {JobState.CANCELLED: 3}
    assert TARGET.look(other, ()).counts == {JobState.RUNNING: 1}


def test_what_a_machine_is_like(cloud: Any) -> None:
    ordered = order(TARGET, given(cloud), 1, image=IMAGE, hiring="spot")
    (name,) = TARGET.launch(ordered).jobs
    (machine,) = cloud.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"]
    tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
    assert (
        tags.items()
        >= {
            "hpo-pipe:submission": ordered.name,
            "hpo-pipe:study": "first study",
            "team": "vision",
        }.items()
    )
    assert machine["InstanceType"] in ("g5.xlarge", "g4dn.xlarge")
    (template,) = cloud.describe_launch_templates()["LaunchTemplates"]
    assert {tag["Key"] for tag in template["Tags"]} == {"team", "hpo-pipe:study", "hpo-pipe:submission"}


def test_the_users_template_gets_our_user_data_and_has_to_end_its_machines(cloud: Any) -> None:
    script = base64.b64encode(b"#!/bin/sh").decode()
    data = {"ImageId": an_image(cloud), "InstanceType": "g5.xlarge", "UserData": script}
    cloud.create_launch_template(LaunchTemplateName="stays", LaunchTemplateData=data)
    ends = {**data, "InstanceInitiatedShutdownBehavior": "terminate"}
    cloud.create_launch_template(LaunchTemplateName="ends", LaunchTemplateData=ends)
    refused = TARGET.launch(order(TARGET, {"launch_template": "stays:1"}, 2, image=IMAGE, hiring="spot"))
    assert (refused.workers, refused.refusal) == (0, Refusal.INVALID)
    assert "--launch-template stays:1: its machines would stay when they shut down" in refused.message
    ordered = order(TARGET, {"launch_template": "ends:$Latest"}, 2, image=IMAGE, hiring="spot")
    launched = TARGET.launch(ordered)
    assert launched.workers == 2
    told = cloud.describe_instance_attribute(InstanceId=launched.jobs[0], Attribute="userData")
    script = base64.b64decode(told["UserData"]["Value"]).decode()
    assert "s3://bucket/studies/first" in script
    assert "SUBMISSION=3" in script


def test_a_root_device_of_another_name_is_refused_before_anything_is_made(cloud: Any) -> None:
    options = {**given(cloud), "root_device_name": "/dev/nvme9"}
    found = TARGET.launch(order(TARGET, options, 1, image=IMAGE))
    assert found.refusal is Refusal.INVALID
    assert found.message.startswith("--root-device-name is /dev/nvme9, expected that of ami-")
    assert cloud.describe_launch_templates()["LaunchTemplates"] == []


def test_an_image_that_a_parameter_names_is_looked_up(cloud: Any) -> None:
    options = given(cloud)
    ssm = boto3.client("ssm", region_name="eu-west-1")
    ssm.put_parameter(Name="/images/gpu", Value=options["image_id"], Type="String")
    wrong = {**options, "image_id": "resolve:ssm:/images/gpu", "root_device_name": "/dev/nvme9"}
    assert TARGET.launch(order(TARGET, wrong, 1, image=IMAGE)).refusal is Refusal.INVALID


def test_the_console(cloud: Any) -> None:
    ordered = order(TARGET, given(cloud), 2, image=IMAGE)
    launched = TARGET.launch(ordered)
    lines = list(TARGET.logs(ordered, launched.jobs, None, 2))
    assert len(lines) == 6
    assert {line for line in lines if line.startswith("==>")} == {f"==> {name} <==" for name in launched.jobs}
    heading, *last = TARGET.logs(ordered, launched.jobs, launched.jobs[1], 1)
    assert (heading, len(last)) == (f"==> {launched.jobs[1]} <==", 1)


def test_the_policy_grants_what_is_asked_and_nothing_else(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def note(service: str, settings: Any, **more: Any) -> Any:
        made = plain(service, settings, **more)
        made.meta.events.register("before-call", lambda model, **_: asked.add(f"{service}:{model.name}"))
        return made

    plain = aws.client
    for module in ("", ".machines", ".answers"):
        monkeypatch.setattr(f"hpo_pipe.launch.targets.ec2{module}.client", note)
    ssm = boto3.client("ssm", region_name="eu-west-1")
    options = given(cloud)
    ssm.put_parameter(Name="/images/gpu", Value=options["image_id"], Type="String")
    ordered = order(TARGET, {**options, "image_id": "resolve:ssm:/images/gpu"}, 2, image=IMAGE)
    launched = TARGET.launch(ordered)
    list(TARGET.logs(ordered, launched.jobs, None, 2))
    TARGET.cancel(ordered, launched.jobs)
    TARGET.launch(order(TARGET, {"launch_template": "none:1"}, 1, number=9, image=IMAGE))
    role = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
    policy = launch_policy(["ec2"], Named(region="eu-west-1", worker_roles=(role,)))
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert granted - GRANTED_ELSEWHERE == asked
