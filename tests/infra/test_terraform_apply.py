"""The example for AWS Batch is applied, for real but for AWS: a server that keeps what it is told (moto)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.infra.terraform import Terraform, needs_terraform
from tests.servers.s3 import S3Server, _moto, _running, s3_environment

REGION = "us-east-1"
SERVICE_ROLE = "arn:aws:iam::123456789012:role/of-batch"
"""AWS makes its own; moto asks for one."""
PROVIDER = f"""
provider "aws" {{
  region                      = "{REGION}"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true

  default_tags {{
    tags = {{}} # moto tells of a launch template's own tags as of tags for what is made from it
  }}
}}
"""
BATCH = f"""
module "batch" {{
  service_role_arn = "{SERVICE_ROLE}"
  stop_seconds     = %s
}}
"""
EC2 = """
module "iam" {
  worker_services = ["sagemaker", "ec2"]
  ec2             = { launch_template_arn = module.ec2.launch_template_arn }
}
"""
GROUP = """
data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

data "aws_ami" "any" {
  most_recent = true
  owners      = ["amazon"]
}

resource "aws_security_group" "workers" {
  vpc_id = data.aws_vpc.default.id
}

module "ec2" {
  source = "../../modules/ec2"

  image_id             = data.aws_ami.any.id
  instance_profile_arn = module.iam.worker_instance_profile_arn
  user_data            = "#!/bin/sh\\n%s; shutdown -h now\\n"
  subnet_ids           = data.aws_subnets.all.ids
  security_group_ids   = [aws_security_group.workers.id]
  group                = { max_size = 4, worker_role_name = module.iam.worker_role_name }
}
"""
FORGOTTEN = {
    "module.batch.aws_batch_job_queue.this": "job_state_time_limit_action",
    "module.coordinator.aws_lambda_function.coordinator[0]": "image_config",
    "module.storage.aws_s3_bucket_notification.events[0]": "eventbridge",
}
"""What moto does not tell as it was told."""
BUCKET = "trials-of-a-test"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1,
            "digest": "sha256:" + "0" * 64,
        },
        "layers": [],
    }
)


@pytest.fixture(scope="module")
def aws() -> Iterator[S3Server]:
    yield from _running("moto", lambda port: (_moto(port)[0], {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}))


def client(aws: S3Server, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_is_applied_changed_found_unchanged_and_destroyed(aws: S3Server, tmp_path: Path) -> None:
    needs_terraform()
    iam = client(aws, "iam")
    iam.create_role(
        RoleName="of-batch", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}'
    )
    vpc = client(aws, "ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [s["SubnetId"] for s in client(aws, "ec2").describe_subnets()["Subnets"] if s["VpcId"] == vpc][
        :2
    ]
    given = {
        "bucket": BUCKET,
        "region": REGION,
        "vpc_id": vpc,
        "subnet_ids": subnets,
        "on_demand_max_vcpus": 8,
        "submitters": ["arn:aws:iam::123456789012:root"],
        "worker_image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/hpo-pipe:1",
        "on_events": True,
    }
    terraform = Terraform(
        tmp_path,
        "examples/batch-spot",
        s3_environment(aws.endpoint),
        files={"override.tf": PROVIDER + BATCH % 120, "given.auto.tfvars.json": json.dumps(given)},
    )
    terraform.run("apply", "-auto-approve", "-input=false")
    repository = json.loads(terraform.run("output", "-json"))["coordinator_repository_url"]["value"]
    ecr = client(aws, "ecr")
    ecr.put_image(repositoryName="hpo-pipe-coordinator", imageManifest=MANIFEST, imageTag="1")
    image = f"-var=coordinator_image={repository}:1"
    with pytest.raises(ClientError):
        iam.get_role_policy(RoleName="hpo-pipe-coordinator", PolicyName="launch-aws-batch")

    (terraform.folder / "given.auto.tfvars.json").write_text(json.dumps({**given, "max_workers": 4}), "utf-8")
    (terraform.folder / "override.tf").write_text(PROVIDER + BATCH % 60, "utf-8")
    terraform.run("apply", "-auto-approve", "-input=false", image)
    check_that_nothing_would_change(terraform, image)
    told = {name: value["value"] for name, value in json.loads(terraform.run("output", "-json")).items()}
    assert told["study_url"] == f"s3://{BUCKET}/studies/first"
    check_the_bucket(aws)
    check_the_queue(aws, told)
    check_the_coordinator(aws, told)

    ecr.batch_delete_image(repositoryName="hpo-pipe-coordinator", imageIds=[{"imageTag": "1"}])
    terraform.run("destroy", "-auto-approve", "-input=false", image)
    assert client(aws, "s3").list_buckets()["Buckets"] == []
    assert client(aws, "batch").describe_job_queues()["jobQueues"] == []
    assert [role["Arn"] for role in iam.list_roles()["Roles"]] == [SERVICE_ROLE]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_jobs_and_a_group_of_machines_are_applied_changed_found_unchanged_and_destroyed(
    aws: S3Server, tmp_path: Path
) -> None:
    needs_terraform()
    terraform = Terraform(
        tmp_path,
        "examples/sagemaker",
        s3_environment(aws.endpoint),
        files={
            "override.tf": PROVIDER + EC2,
            "group.tf": GROUP % "true",
            "given.auto.tfvars.json": json.dumps(
                {"bucket": BUCKET + "-2", "region": REGION, "name": "hpo-two"}
            ),
        },
    )
    terraform.run("apply", "-auto-approve", "-input=false")
    (terraform.folder / "group.tf").write_text(GROUP % "sleep 1", "utf-8")
    terraform.run("apply", "-auto-approve", "-input=false")
    terraform.run("plan", "-detailed-exitcode", "-input=false")  # 2: it would change something
    (group,) = client(aws, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 4)
    (version,) = client(aws, "ec2").describe_launch_template_versions(
        LaunchTemplateId=group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"][
            "LaunchTemplateId"
        ],
        Versions=["$Latest"],
    )["LaunchTemplateVersions"]
    machine = version["LaunchTemplateData"]
    assert base64.b64decode(machine["UserData"]) == b"#!/bin/sh\nsleep 1; shutdown -h now\n"
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert machine["InstanceInitiatedShutdownBehavior"] == "terminate"
    terraform.run("destroy", "-auto-approve", "-input=false")
    assert client(aws, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def check_that_nothing_would_change(terraform: Terraform, image: str) -> None:
    terraform.run("plan", "-input=false", "-out=plan", image)
    changes = json.loads(terraform.run("show", "-json", "plan"))["resource_changes"]
    would = {each["address"]: each["change"] for each in changes if each["change"]["actions"] != ["no-op"]}
    assert set(would) <= set(FORGOTTEN), sorted(would)
    for address, change in would.items():
        for state in (change["before"], change["after"]):
            state.pop(FORGOTTEN[address])
        assert change["before"] == change["after"], address


def check_the_bucket(aws: S3Server) -> None:
    s3 = client(aws, "s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Deny"}
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert {rule["ID"] for rule in rules} == {"abort-uploads", "checkpoints-0"}


def check_the_queue(aws: S3Server, told: dict[str, Any]) -> None:
    batch = client(aws, "batch")
    (queue,) = batch.describe_job_queues()["jobQueues"]
    assert queue["jobQueueArn"] == told["job_queue_arn"]
    order = [
        place["computeEnvironment"]
        for place in sorted(queue["computeEnvironmentOrder"], key=lambda p: p["order"])
    ]
    found = {
        e["computeEnvironmentArn"]: e for e in batch.describe_compute_environments()["computeEnvironments"]
    }
    assert [found[arn]["computeResources"]["type"] for arn in order] == ["SPOT", "EC2"]
    assert all(e["computeResources"]["minvCpus"] == 0 for e in found.values())
    assert len(found) == 2  # of the template as it is now; those before it are gone
    named = {e["computeResources"]["launchTemplate"]["launchTemplateId"] for e in found.values()}
    (version,) = client(aws, "ec2").describe_launch_template_versions(
        LaunchTemplateId=named.pop(), Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    assert b"STOP_TIMEOUT=60s" in base64.b64decode(version["LaunchTemplateData"]["UserData"])
    (definition,) = batch.describe_job_definitions()["jobDefinitions"]
    assert definition["containerProperties"]["jobRoleArn"] == told["worker_role_arn"]
    iam = client(aws, "iam")
    document = iam.get_role_policy(RoleName="hpo-pipe-submitter", PolicyName="launch-aws-batch")[
        "PolicyDocument"
    ]
    assert told["job_queue_arn"] in document["Statement"][0]["Resource"]


def check_the_coordinator(aws: S3Server, told: dict[str, Any]) -> None:
    schedule = client(aws, "scheduler").get_schedule(Name="hpo-pipe-coordinator")
    assert schedule["ScheduleExpression"] == "rate(1 minute)" and schedule["State"] == "ENABLED"
    (mapping,) = client(aws, "lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["EventSourceArn"].endswith(":hpo-pipe-coordinator-events")
    function = client(aws, "lambda").get_function_configuration(FunctionName="hpo-pipe-coordinator")
    assert function["Environment"]["Variables"]["HPO_PIPE_MAX_WORKERS"] == "4"
    iam = client(aws, "iam")
    launch, store = (
        iam.get_role_policy(RoleName="hpo-pipe-coordinator", PolicyName=name)["PolicyDocument"]["Statement"]
        for name in ("launch-aws-batch", "store")
    )
    assert {told["job_queue_arn"], told["job_definition_arn"]} <= set(launch[0]["Resource"])
    assert "submissions/*" in str(store)
