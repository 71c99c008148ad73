"""What a launcher is granted: exactly the calls that its target makes, on what was named, and nothing else."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from click.testing import CliRunner, Result

from hpo_pipe.cli.group import cli
from hpo_pipe.launch import targets
from hpo_pipe.launch.iam import (
    LAUNCHED,
    MAX_MANAGED_POLICY,
    Named,
    Role,
    joined,
    lambda_policy,
    launch_policy,
    machine_policy,
    role_policy,
    scheduler_policy,
    trust_policy,
)
from storage_schema.errors import UserError

SERVICES = {"aws-batch": ("batch",), "sagemaker": ("sagemaker",), "ec2": ("ec2",)}
URL = "s3://bucket/studies/first"
BATCH = "arn:aws:batch:eu-west-1:111122223333"
QUEUE, DEFINITION = f"{BATCH}:job-queue/gpus", f"{BATCH}:job-definition/worker"
ROLE = "arn:aws:iam::111122223333:role/hpo-pipe-worker"
GROUP = "arn:aws:logs:eu-west-1:111122223333:log-group:/hpo-pipe/gpus"
TEMPLATE = "arn:aws:ec2:eu-west-1:111122223333:launch-template/lt-0123456789abcdef0"
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb-AbCdEf"
PARAMETER = "arn:aws:ssm:eu-west-1:111122223333:parameter/team/wandb"
SCHEDULE = "arn:aws:scheduler:eu-west-1:111122223333:schedule/default/first"
ALL = Named(
    job_queues=(QUEUE,), worker_roles=(ROLE,), region="eu-west-1", account="111122223333", study="first"
)


def statements(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {each["Sid"]: each for each in document["Statement"]}
    assert len(found) == len(document["Statement"])
    return found


def may(document: dict[str, Any], action: str, resource: str) -> dict[str, Any] | None:
    """Return the statement that allows it, conditions apart."""
    for each in document["Statement"]:
        if action in each["Action"] and any(fnmatchcase(resource, pattern) for pattern in each["Resource"]):
            return dict(each)
    return None


def test_whatever_is_open_to_everything_only_looks() -> None:
    for target in LAUNCHED:
        document = launch_policy([target], ALL, prices=True)
        for each in document["Statement"]:
            assert all("*" not in action for action in each["Action"])
            if each["Resource"] == ["*"]:
                names = [action.split(":")[1] for action in each["Action"]]
                assert all(name.startswith(("Describe", "List", "Get")) for name in names), each
            else:
                assert all(r.startswith("arn:aws:") for r in each["Resource"])


def test_what_runs_is_ended_only_where_it_is_ours() -> None:
    document = launch_policy(LAUNCHED, ALL)
    job, instance = f"{BATCH}:job/x", "arn:aws:ec2:eu-west-1:111122223333:instance/i-1"
    ours = {
        "StringLike": {"aws:ResourceTag/hpo-pipe:submission": "hpo-*"},
        "StringEquals": {"aws:ResourceTag/hpo-pipe:study": "first"},
    }
    training = "arn:aws:sagemaker:eu-west-1:111122223333:training-job/"
    for action, resource in (
        ("sagemaker:StopTrainingJob", training + "hpo-first-1"),
        ("batch:TerminateJob", job),
        ("batch:CancelJob", job),
        ("ec2:TerminateInstances", instance),
    ):
        found = may(document, action, resource)
        assert found and found["Condition"] == ours
    for action in ("Create", "Describe", "Stop"):
        assert may(document, f"sagemaker:{action}TrainingJob", training + "hpo-first-1")
        assert not may(document, f"sagemaker:{action}TrainingJob", training + "somebody-elses")


def test_only_the_workers_role_is_passed_and_only_to_its_service() -> None:
    for target, service in (("aws-batch", "ecs-tasks"), ("sagemaker", "sagemaker"), ("ec2", "ec2")):
        passed = [s for s in launch_policy([target], ALL)["Statement"] if "iam:PassRole" in s["Action"]]
        assert [s["Resource"] for s in passed] == [[ROLE]]
        assert passed[0]["Condition"] == {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}
        with pytest.raises(UserError, match="--worker-role-arn is missing"):
            launch_policy([target], Named(job_queues=(QUEUE,), region="eu-west-1", account="111122223333"))


def test_a_given_definition_is_used_and_none_is_registered() -> None:
    document = launch_policy(
        ["aws-batch"], Named(job_queues=(QUEUE,), job_definitions=(DEFINITION,), log_groups=(GROUP,))
    )
    assert may(document, "batch:SubmitJob", DEFINITION + ":7") and may(
        document, "batch:SubmitJob", DEFINITION
    )
    assert not may(document, "batch:SubmitJob", DEFINITION + "-of-others:1")
    assert "Register" not in str(document) and "PassRole" not in str(document)
    assert may(document, "logs:GetLogEvents", GROUP + ":log-stream:a/b")
    assert not may(document, "logs:GetLogEvents", GROUP + "-of-others:log-stream:a/b")
    pinned = launch_policy(["aws-batch"], Named(job_queues=(QUEUE,), job_definitions=(DEFINITION + ":7",)))
    assert may(pinned, "batch:SubmitJob", DEFINITION + ":7")
    assert not may(pinned, "batch:SubmitJob", DEFINITION + ":8")
    registers = launch_policy(["aws-batch"], ALL)
    assert may(registers, "batch:RegisterJobDefinition", f"{BATCH}:job-definition/hpo-pipe-x")
    assert not may(registers, "batch:RegisterJobDefinition", DEFINITION)


def test_instances_are_started_with_the_tags_of_their_study_and_from_a_template_that_is_named() -> None:
    exact = launch_policy(["ec2"], Named(launch_templates=(TEMPLATE,), worker_roles=(ROLE,)))
    run = statements(exact)["Ec2RunTagged"]
    assert run["Condition"]["StringLike"] == {"aws:RequestTag/hpo-pipe:submission": "hpo-*"}
    assert run["Condition"]["ArnEquals"] == {"ec2:LaunchTemplate": [TEMPLATE]}
    assert "ec2:CreateLaunchTemplate" not in str(exact) and "launch-template/lt-" in str(exact)
    own = launch_policy(["ec2"], ALL)
    assert "Condition" in statements(own)["Ec2CreateTemplates"]
    assert list(statements(own)["Ec2TagWhatIsCreated"]["Condition"]) == ["StringEquals"]


def test_a_policy_fits_into_a_managed_one() -> None:
    for target in LAUNCHED:
        document = joined(role_policy(URL, Role.SUBMITTER), launch_policy([target], ALL, prices=True))
        assert len(json.dumps(document, separators=(",", ":"))) < MAX_MANAGED_POLICY


@pytest.mark.parametrize("target", LAUNCHED)
def test_every_call_that_a_target_makes_is_granted(target: str) -> None:
    """Names of operations in its code, as the SDK knows them."""
    folder = Path(targets.__file__).parent
    name = target.replace("-", "_")
    files = [*folder.glob(f"{name}.py"), *folder.glob(f"{name}/*.py")]
    said = {word for path in files for word in re.findall(r'"([A-Z][A-Za-z0-9]+)"', path.read_text("utf-8"))}
    document = launch_policy([target], ALL)
    granted = {action for each in document["Statement"] for action in each["Action"]}
    for service in SERVICES[target]:
        known = set(Session().get_service_model(service).operation_names)
        assert {f"{service}:{word}" for word in said & known} <= granted


def test_secrets_are_exactly_those_that_are_named() -> None:
    document = machine_policy(Named(secrets=(SECRET, PARAMETER)))
    found = statements(document)
    assert found["ReadSecrets"]["Resource"] == [SECRET] and found["ReadParameters"]["Resource"] == [PARAMETER]
    assert machine_policy(Named())["Statement"] == []
    logs = machine_policy(ALL, targets=["sagemaker"])
    assert may(logs, "logs:PutLogEvents", GROUP.replace("/hpo-pipe/gpus", "/aws/sagemaker/TrainingJobs"))


def test_a_network_of_ones_own_takes_interfaces_of_this_account() -> None:
    place = ("--region", "eu-west-1", "--account", "111122223333")
    document = json.loads(run("--role", "worker", "--target", "sagemaker", *place, "--vpc").stdout)
    interface = "arn:aws:ec2:eu-west-1:111122223333:network-interface/eni-1"
    assert may(document, "ec2:CreateNetworkInterface", interface)
    assert not may(document, "ec2:CreateNetworkInterface", interface.replace("1111", "2222"))
    assert "MakeInterfaces" not in run("--role", "worker", "--target", "sagemaker", *place).stdout


def test_a_schedule_is_switched_off_with_its_own_role() -> None:
    caller = ROLE.replace("worker", "schedule")
    document = scheduler_policy(Named(schedules=(SCHEDULE,), schedule_roles=(caller,)))
    assert may(document, "scheduler:UpdateSchedule", SCHEDULE) and may(document, "iam:PassRole", caller)
    with pytest.raises(UserError, match="--schedule-role-arn is missing"):
        scheduler_policy(Named(schedules=(SCHEDULE,)))
    events = "arn:aws:sqs:eu-west-1:111122223333:first-events"
    assert may(lambda_policy(Named(queues=(events,), log_groups=(GROUP,))), "sqs:ReceiveMessage", events)


def test_services_take_a_role_for_this_account_only_where_they_say_for_whom() -> None:
    guarded = trust_policy("sagemaker", "111122223333")["Statement"][0]
    assert guarded["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    assert "Condition" not in trust_policy("ec2", "111122223333")["Statement"][0]
    china = trust_policy("ec2", "111122223333", partition="aws-cn")["Statement"][0]
    assert china["Principal"] == {"Service": "ec2.amazonaws.com.cn"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"job_queues": ("gpus",)}, "^--job-queue 'gpus': expected an ARN, as in arn:aws:batch:"),
        ({"job_queues": (QUEUE.replace("gpus", "*"),)}, "^--job-queue 'arn"),
        ({"job_definitions": (QUEUE,)}, "^--job-definition 'arn"),
        ({"worker_roles": ("arn:aws:iam::111122223333:role/*",)}, "^--worker-role-arn 'arn"),
        ({"schedule_roles": ("foo",)}, "^--schedule-role-arn 'foo': expected an ARN, as in arn:aws:iam"),
        ({"secrets": (SECRET[:-6] + "*",)}, "^--secret-arn"),
        ({"job_queues": (QUEUE,), "partition": "aws-cn"}, "arn:aws-cn:batch"),
        ({"partition": "azure"}, "known are aws"),
        ({"account": "1234"}, "^--account '1234': expected one such as 111122223333"),
        ({"region": "Ireland"}, "^--region 'Ireland': expected one such as eu-west-1"),
        ({"repositories": ("docker.io/x",)}, "^--repository-arn"),
        ({"functions": ("f",)}, "^functions 'f': expected an ARN"),
    ],
)
def test_arns_are_exact_and_of_their_kind(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Named(**given)


def test_region_and_account_are_told_by_the_arns_or_asked_for() -> None:
    assert Named(job_queues=(QUEUE,)).place() == ("eu-west-1", "111122223333")
    assert Named(worker_roles=(ROLE,), region="us-east-1").place() == ("us-east-1", "111122223333")
    with pytest.raises(UserError, match="--region"):
        Named(worker_roles=(ROLE,)).place()
    with pytest.raises(UserError, match="several regions"):
        Named(job_queues=(QUEUE, QUEUE.replace("eu-west-1", "us-east-1"))).place()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["submit", "policy", URL, *arguments])


def test_the_command_joins_the_stores_rights_and_the_providers() -> None:
    found = run(
        "--role", "submitter", "--target", "aws-batch", "--job-queue", QUEUE, "--worker-role-arn", ROLE
    )
    named = Named(job_queues=(QUEUE,), worker_roles=(ROLE,))
    expected = joined(role_policy(URL, Role.SUBMITTER), launch_policy(["aws-batch"], named))
    assert json.loads(found.stdout) == expected
    scales = json.loads(
        run(
            "--role",
            "coordinator",
            "--target",
            "sagemaker",
            "--region",
            "eu-west-1",
            "--worker-role-arn",
            ROLE,
        ).stdout
    )
    assert "submissions/*" in str(scales) and "SageMakerJobs" in statements(scales)
    every = [word for target in LAUNCHED for word in ("--target", target)]
    long = run("--role", "submitter", *every, "--job-queue", QUEUE, "--worker-role-arn", ROLE)
    assert long.exit_code == 0 and "print one for each target" in long.stderr and found.stderr == ""
    worker = json.loads(run("--role", "worker", "--secret-arn", SECRET).stdout)
    assert statements(worker)["ReadSecrets"]["Resource"] == [SECRET]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--role", "observer", "--target", "ec2"), "--target is for the roles"),
        (("--role", "submitter", "--job-queue", QUEUE), "--job-queue is for --target aws-batch"),
        (("--role", "worker", "--schedule-arn", SCHEDULE), "--schedule-arn is for the role coordinator"),
        (("--role", "bucket", "--prices"), "--role bucket takes no"),
        (("--role", "worker", "--vpc"), "--vpc is for --role worker --target sagemaker"),
        (("--role", "submitter", "--region", "eu-west-1"), "--region is for --target"),
        (("--role", "submitter", "--target", "aws-batch"), "--job-queue is missing"),
        (("--role", "submitter", "--target", "slurm"), "aws-batch"),
    ],
)
def test_what_would_be_without_effect_is_refused(arguments: tuple[str, ...], words: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2 and words in found.stderr
