"""What ``submit ec2`` starts at moto: its user data, run for real, make a worker that finishes the study."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from storage_schema.store import open_store
from tests.e2e.accounting import audit
from tests.e2e.fleet import Fleet
from tests.e2e.test_submit_aws import hpo_pipe, machines
from tests.servers.imds import InstanceMetadata
from tests.servers.s3 import S3Server, use_s3


@pytest.fixture
def fleet(moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    url = use_s3(moto_server, monkeypatch)
    fleet = Fleet(url, tmp_path, epoch_s=0.01)
    fleet.create(trials=3, scheduler="none")
    yield fleet
    fleet.close()


def program(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


def test_a_machines_user_data_make_a_worker_of_the_study(fleet: Fleet, tmp_path: Path) -> None:
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("curl is not installed")
    programs = tmp_path / "bin"
    programs.mkdir()
    worker = program(programs, "hpo-pipe", f'exec "{sys.executable}" -m hpo_pipe "$@"')
    for name in ("systemctl", "useradd"):
        program(programs, name, "exit 0")
    program(programs, "shutdown", f'echo "$@" >>"{tmp_path}/shut-down"')
    ec2 = boto3.client("ec2")
    image = ec2.register_image(Name=f"gpus-{os.getpid()}", RootDeviceName="/dev/sda1")["ImageId"]
    command = (
        *("submit", "ec2", fleet.url, "--spot"),
        *("--instance-type", "g5.xlarge", "--instance-type", "g6.xlarge"),
        *("--image-id", image, "--iam-instance-profile", "hpo-pipe-worker", "--program", str(worker)),
        *("--root-device-name", "/dev/sda1", "--env", "TEST_EPOCH_S=0.01", "--price-per-hour", "0.42"),
    )
    template, request = json.loads(hpo_pipe(*command, "--dry-run", "--output", "json"))
    (job,) = hpo_pipe(*command).split()
    (machine,) = ec2.describe_instances(InstanceIds=[job])["Reservations"][0]["Instances"]
    named = template["parameters"]["LaunchTemplateName"]
    told = ec2.describe_launch_template_versions(LaunchTemplateName=named, Versions=["1"])
    (version,) = told["LaunchTemplateVersions"]
    script = base64.b64decode(version["LaunchTemplateData"]["UserData"])
    assert request["parameters"]["TargetCapacitySpecification"]["TotalTargetCapacity"] == 1

    with InstanceMetadata() as imds:
        imds.data |= {"instance-type": machine["InstanceType"], "placement/region": "us-east-1"}
        imds.data |= {f"tags/instance/{tag['Key']}": tag["Value"] for tag in machine["Tags"]}
        variables = {
            **os.environ,
            "PATH": f"{programs}:/usr/bin:/bin",
            "HPO_PIPE_FOLDER": str(tmp_path / "root"),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.endpoint,
        }
        booted = subprocess.run(
            ["/bin/sh", "-s"], input=script, env=variables, capture_output=True, check=False
        )
        assert booted.returncode == 0, booted.stderr
        fleet.start("coordinator")
        done = subprocess.run(
            [tmp_path / "root/usr/local/lib/hpo-pipe/worker"],
            env={**variables, "PATH": os.environ["PATH"], "HPO_PIPE_SCRATCH": str(tmp_path / "scratch")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "shut-down").exists(), "that is left to systemd"
    assert audit(open_store(fleet.url)) == []
    claimed = machines(fleet.url)
    assert len(claimed) >= 3
    expected = {
        "provider": "ec2",
        "instance_type": machine["InstanceType"],
        "region": "us-east-1",
        "lifecycle": "spot",
        "price_per_hour": "0.42",
        "submission": "1",
    }
    for facts in claimed:
        assert expected.items() <= facts.items()
    (found,) = json.loads(hpo_pipe("submit", "status", fleet.url, "--all", "--json"))
    assert [one["state"] for one in found["jobs"]] == ["running"]
    hpo_pipe("submit", "cancel", fleet.url, "1")
    assert (
        ec2.describe_instances(InstanceIds=[job])["Reservations"][0]["Instances"][0]["State"]["Name"]
        == "terminated"
    )
