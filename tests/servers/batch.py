"""A queue of AWS Batch at moto's server, which may serve other tests besides."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import Any

import boto3

from tests.servers.s3 import S3Server


def new_queue(server: S3Server) -> tuple[Any, str]:
    """Return a client of Batch and the name of a new queue, of jobs that moto does not run."""
    data = json.dumps({"batch": {"use_docker": False}}).encode()
    request = urllib.request.Request(f"{server.endpoint}/moto-api/config", data, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
    name = f"gpus-{secrets.token_hex(6)}"
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    made = boto3.client("batch")
    environment = made.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", serviceRole=role
    )["computeEnvironmentArn"]
    made.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )
    return made, name
