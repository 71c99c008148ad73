"""The CloudFormation template: sound by cfn-lint, and what is promised of it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo_pipe.launch.iam import Named, Role, bucket_policy, joined, launch_policy, role_policy, tls_policy
from hpo_pipe.launch.lambda_event import MATTERS
from hpo_pipe.launch.lambda_handler import RESERVE_S
from hpo_pipe.launch.lambda_scaling import ROUND_S
from hpo_pipe.launch.own_schedule import schedule_named
from storage_schema.store.key_rules import is_key
from tests.infra.stack import ACCOUNT, COORDINATOR, GIVEN, REGION, TEMPLATE, WORKER, Stack, template
from tests.servers.iam import allowed, asked

URL = "s3://team-bucket/studies/first"


def generator() -> Any:
    """Return infra/cloudformation/policies.py as a module."""
    spec = importlib.util.spec_from_file_location("policies", TEMPLATE.with_name("policies.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cfn_lint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    if not linter.exists():
        pytest.skip("cfn-lint is not installed")
    found = subprocess.run(
        [linter, "--regions", "us-east-1", "eu-west-1", "--", TEMPLATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_documents_are_those_of_their_one_source() -> None:
    text = TEMPLATE.read_text("utf-8")
    assert generator().filled(text) == text, "run: python infra/cloudformation/policies.py"


def test_the_documents_are_what_submit_policy_prints() -> None:
    stack = Stack(**COORDINATOR)
    assert stack.document("WorkerRights") == role_policy(URL, Role.WORKER)
    assert stack.document("CoordinatorRights") == role_policy(URL, Role.COORDINATOR)
    assert stack.document("SubmitterRights") == role_policy(URL, Role.SUBMITTER)
    assert stack.document("RecordsPolicy") == joined(tls_policy("team-bucket"), bucket_policy(URL))
    named = Named(
        study="first",
        region=REGION,
        account=ACCOUNT,
        job_queues=(f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/gpus",),
        log_groups=(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:workers",),
        worker_roles=(f"arn:aws:iam::{ACCOUNT}:role/worker",),
    )
    launch = json.dumps(launch_policy(["aws-batch"], named))
    for arn, here in (
        (named.job_queues[0], "<JobQueue>"),
        ("log-group:workers", "log-group:<WorkerLog>"),
        (named.worker_roles[0], "<WorkerRole.Arn>"),
    ):
        launch = launch.replace(arn, here)
    assert _sorted(stack.document("LaunchRights")) == _sorted(json.loads(launch))


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    return {s["Sid"]: {**s, "Resource": sorted(s["Resource"])} for s in document["Statement"]}


def test_documents_fit_where_they_go() -> None:
    long = {"BucketName": "b" * 63, "Study": "studies/" + "s" * 52, "StudyName": "n" * 63}
    stack = Stack(
        **long,
        **COORDINATOR,
        MaxWorkers="9",
        SecretArns="arn:aws:secretsmanager:eu-west-1:111122223333:secret:x-AbCdEf",
    )
    inline: dict[str, int] = {}
    for name, made in stack.resources.items():
        if "PolicyDocument" not in made["Properties"]:
            continue
        size = len(re.sub(r"\s", "", json.dumps(made["Properties"]["PolicyDocument"])))
        match made["Type"]:
            case "AWS::IAM::ManagedPolicy":
                assert size < 6144, name
            case "AWS::IAM::RolePolicy":
                role = made["Properties"]["RoleName"]
                inline[role] = inline.get(role, 0) + size
    assert inline and max(inline.values()) < 10240
    assert TEMPLATE.stat().st_size <= 51_200  # more would have to lie in a bucket first


def test_the_bucket_refuses_what_would_break_a_study() -> None:
    policy = [role_policy(URL, role) for role in Role], Stack().document("RecordsPolicy")
    key = "/team-bucket/studies/first/log/00000000.json"
    new = {"If-None-Match": "*"}
    everything = [{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}]
    for documents in (policy[0], everything):
        assert allowed(asked("PUT", key, new), documents, policy[1])
        assert not allowed(asked("PUT", key, {}), documents, policy[1])
        assert not allowed(asked("DELETE", key, {}), documents, policy[1])
        assert not allowed(asked("PUT", key, new, tls=False), documents, policy[1])
    other = "/team-bucket/another/thing"
    assert allowed(asked("PUT", other, {}), everything, policy[1])
    assert not allowed(asked("PUT", other, {}, tls=False), everything, policy[1])


def test_the_bucket_is_private_encrypted_and_stays() -> None:
    stack = Stack()
    bucket = stack["Bucket"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert "VersioningConfiguration" not in bucket  # doctor warns of it: hints keep every version
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Expiration" not in str(rule)  # nothing is deleted unless asked
    assert stack.resources["Bucket"]["DeletionPolicy"] == "Retain"


def test_only_what_no_decision_needs_can_expire() -> None:
    rules = Stack(CheckpointExpiryDays="30", HeartbeatExpiryDays="7")["Bucket"]["LifecycleConfiguration"][
        "Rules"
    ]
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules[1:]}
    assert expiring == {"studies/first/checkpoints/": "30", "studies/first/workers/": "7"}


def test_machines_cost_nothing_when_nothing_waits() -> None:
    stack = Stack(OnDemandMaxvCpus="8")
    spot, fallback = (stack[name]["ComputeResources"] for name in ("SpotMachines", "OnDemandMachines"))
    assert (spot["Type"], spot["AllocationStrategy"]) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert (fallback["Type"], fallback["MaxvCpus"]) == ("EC2", "8")
    assert spot["MinvCpus"] == fallback["MinvCpus"] == 0
    assert "DesiredvCpus" not in spot and "BidPercentage" not in spot
    assert len(spot["InstanceTypes"]) >= 3
    order = [each["ComputeEnvironment"] for each in stack["JobQueue"]["ComputeEnvironmentOrder"]]
    assert order == ["<SpotMachines>", "<OnDemandMachines>"]


def test_on_demand_machines_only_if_asked_for() -> None:
    stack = Stack()
    assert "OnDemandMachines" not in stack
    assert len(stack["JobQueue"]["ComputeEnvironmentOrder"]) == 1


def test_no_job_waits_unseen() -> None:
    actions = Stack(RunnableLimitSeconds="900")["JobQueue"]["JobStateTimeLimitActions"]
    assert {action["State"] for action in actions} == {"RUNNABLE"}
    assert {action["MaxTimeSeconds"] for action in actions} == {"900"}
    assert {action["Reason"].partition(":")[0] for action in actions} == {"MISCONFIGURATION", "CAPACITY"}


def test_machines_tell_of_their_end_and_leave_time_for_it() -> None:
    data = Stack(StopTimeoutSeconds="110")["MachineTemplate"]["LaunchTemplateData"]
    options = data["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    assert "echo ECS_CONTAINER_STOP_TIMEOUT=110s >>/etc/ecs/ecs.config" in data["UserData"]
    assert all(each["Ebs"]["Encrypted"] for each in data["BlockDeviceMappings"])
    head, _, body = data["UserData"].partition("\n\n")
    (boundary,) = re.findall(r'boundary="(.+)"', head)
    assert body.count(f"--{boundary}") == 2 and body.rstrip().endswith(f"--{boundary}--")
    assert "#!/bin/sh\n" in body and all(line == line.lstrip() for line in body.splitlines())


def test_a_job_is_tried_again_when_it_was_interrupted_and_only_then() -> None:
    job = Stack(**WORKER)["WorkerJob"]
    rules = job["RetryStrategy"]["EvaluateOnExit"]
    assert 1 <= job["RetryStrategy"]["Attempts"] <= 10 and len(rules) <= 5
    assert rules[-1] == {"Action": "EXIT", "OnReason": "*"}  # no match is a retry
    assert {"Action": "RETRY", "OnExitCode": "75"} in rules
    assert [rule for rule in rules if "78" in str(rule)] == []
    made = job["ContainerProperties"]
    assert made["Command"] == ["worker", URL, "--idle-timeout", "600", "--grace", "120", "--coordinator"]
    assert made["JobRoleArn"] == "<WorkerRole.Arn>" and made["LinuxParameters"]["InitProcessEnabled"] is True
    kinds = {each["Type"] for each in made["ResourceRequirements"]}
    assert kinds == {"VCPU", "MEMORY", "GPU"}
    without = Stack(**WORKER, GpusPerWorker="0")
    assert len(without["WorkerJob"]["ContainerProperties"]["ResourceRequirements"]) == 2
    assert without["SpotMachines"]["ComputeResources"]["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]
    assert job["JobDefinitionName"].startswith("hpo-pipe-")  # what a submitter may start
    assert "WorkerJob" not in Stack()


def test_either_the_function_ticks_or_the_workers_do() -> None:
    alone, led = Stack(**WORKER), Stack(**WORKER, **COORDINATOR)
    assert alone.document("WorkerTickRights") == role_policy(URL, Role.COORDINATOR)
    assert (
        "WorkerTickRights" not in led
        and led["WorkerJob"]["ContainerProperties"]["Command"][-1] == "--no-coordinator"
    )
    kinds = {made["Type"] for made in alone.resources.values()}
    assert not any("Lambda" in kind or "Scheduler" in kind or "SQS" in kind for kind in kinds)


def test_the_function_is_called_each_minute_and_by_what_matters() -> None:
    stack = Stack(**COORDINATOR)
    function, schedule, rule = stack["Coordinator"], stack["Schedule"], stack["EventRule"]
    assert function["PackageType"] == "Image" and "Runtime" not in function and "Handler" not in function
    variables = function["Environment"]["Variables"]
    assert variables["HPO_PIPE_STUDY"] == URL
    assert schedule_named(variables["HPO_PIPE_SCHEDULE"]) == (schedule["GroupName"], schedule["Name"])
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert stack["CoordinatorCalls"]["MaximumRetryAttempts"] == 0
    detail = rule["EventPattern"]["detail"]
    assert detail["bucket"]["name"] == ["team-bucket"]
    assert {each["prefix"] for each in detail["object"]["key"]} == {
        f"studies/first/{part}" for part in MATTERS
    }
    assert (
        stack["Bucket"]["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    )
    assert stack["EventQueue"]["VisibilityTimeout"] >= 6 * function["Timeout"]  # as Lambda asks for
    assert stack["EventSource"]["MaximumBatchingWindowInSeconds"] > 0
    assert int(variables["HPO_PIPE_TICK_FOR"]) == 0


def test_the_function_scales_workers_only_if_told_how_far() -> None:
    plain, scales = Stack(**COORDINATOR), Stack(**COORDINATOR, MaxWorkers="16")
    assert scales.document("CoordinatorRights") == role_policy(URL, Role.COORDINATOR, scales=True)
    assert scales["CoordinatorRole"]["ManagedPolicyArns"] == ["<LaunchRights>"]
    assert scales["Coordinator"]["Environment"]["Variables"]["HPO_PIPE_MAX_WORKERS"] == "16"
    assert "ManagedPolicyArns" not in plain["CoordinatorRole"]
    assert "HPO_PIPE_MAX_WORKERS" not in plain["Coordinator"]["Environment"]["Variables"]
    assert set(Stack(MaxWorkers="16").resources) == set(Stack().resources), "without a function nobody scales"
    most = int(template()["Parameters"]["TickForSeconds"]["MaxValue"])
    assert plain["Coordinator"]["Timeout"] >= most + ROUND_S + RESERVE_S, "a round has time behind all ticks"


def test_the_function_may_switch_its_own_schedule_off_and_no_other() -> None:
    stack = Stack(**COORDINATOR)
    switch, hand_on = stack.document("CoordinatorScheduleRights")["Statement"]
    assert switch["Resource"] == [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/hpo-first"]
    assert set(switch["Action"]) == {"scheduler:GetSchedule", "scheduler:UpdateSchedule"}
    assert (hand_on["Action"], hand_on["Resource"]) == (["iam:PassRole"], ["<ScheduleRole.Arn>"])
    (calls,) = stack.document("ScheduleRights")["Statement"]
    assert calls["Resource"] == ["<Coordinator.Arn>"]
    log, events = stack.document("CoordinatorFunctionRights")["Statement"]
    assert log["Resource"] == [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:<CoordinatorLog>:*"]
    assert events["Resource"] == ["<EventQueue.Arn>"]
    senders = stack["EventQueuePolicy"]["PolicyDocument"]["Statement"]
    (sender,) = [each for each in senders if each["Effect"] == "Allow"]
    assert sender["Principal"] == {"Service": "events.amazonaws.com"} and "<EventRule.Arn>" in str(
        sender["Condition"]
    )


def test_secrets_are_readable_only_if_named() -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:wandb-AbCdEf"
    (read,) = Stack(SecretArns=arn).document("WorkerSecretRights")["Statement"]
    assert (read["Action"], read["Resource"]) == (["secretsmanager:GetSecretValue"], [arn])
    assert "WorkerSecretRights" not in Stack()


def test_no_role_has_more_than_a_service_and_no_policy_allows_everything() -> None:
    services = {
        name: made["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for name, made in Stack(**COORDINATOR).resources.items()
        if made["Type"] == "AWS::IAM::Role"
    }
    assert services == {
        "WorkerRole": "ecs-tasks.amazonaws.com",
        "MachineRole": "ec2.amazonaws.com",
        "CoordinatorRole": "lambda.amazonaws.com",
        "ScheduleRole": "scheduler.amazonaws.com",
    }
    for made in Stack(**COORDINATOR).resources.values():
        for statement in made["Properties"].get("PolicyDocument", {}).get("Statement", ()):
            if statement["Effect"] == "Allow":
                assert "*" not in "".join(statement["Action"])


@pytest.mark.parametrize(
    "study", ["a", "studies/first", "team/x.y/z_1", "../up", "a//b", "/a", "a/", ".", "a b", "a/../b"]
)
def test_a_study_that_the_stack_takes_is_one_that_hpo_pipe_takes(study: str) -> None:
    pattern = template()["Parameters"]["Study"]["AllowedPattern"]
    assert not re.fullmatch(pattern, study) or is_key(study)
    assert bool(re.fullmatch(pattern, study)) is (study in ("a", "studies/first", "team/x.y/z_1"))


def test_every_parameter_is_used_and_said() -> None:
    text, declared = TEMPLATE.read_text("utf-8"), template()
    shown = [
        name
        for group in declared["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        for name in group["Parameters"]
    ]
    assert sorted(shown) == sorted(declared["Parameters"])
    for name in declared["Parameters"]:
        assert re.search(rf"(!Ref {name}\b|\$\{{{name}\}})", text), name
    assert set(GIVEN) - {"Study"} == {
        name for name, made in declared["Parameters"].items() if "Default" not in made
    }
