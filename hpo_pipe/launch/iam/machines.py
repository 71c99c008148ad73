"""What the machines themselves need of AWS besides the study's store: secrets, images, logs, schedules. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hpo_pipe.launch.iam.documents import document, statement
from hpo_pipe.launch.iam.named import Named
from storage_schema.codec import Json
from storage_schema.errors import UserError

_WRITES = ("logs:CreateLogStream", "logs:PutLogEvents")
_PULLS = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_INTERFACES = (
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
_NETWORK_LOOKS = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)
"""SageMaker Developer Guide, "Give SageMaker training jobs access to resources in your VPC"."""
_GUARDED = ("ecs-tasks", "sagemaker", "scheduler")
"""Services that say for whose account they take a role."""


def machine_policy(named: Named, *, targets: Iterable[str] = ()) -> dict[str, Json]:
    """Return what a worker's role needs besides the study: what is named, and for SageMaker its logs.

    A parameter is read by workers one by one, and by ECS, where a job definition names it, with others.
    """
    managed = [arn for arn in named.secrets if ":secretsmanager:" in arn]
    parameters = [arn for arn in named.secrets if ":ssm:" in arn]
    made = [
        statement("ReadSecrets", ["secretsmanager:GetSecretValue"], managed),
        statement("ReadParameters", ["ssm:GetParameter", "ssm:GetParameters"], parameters),
        statement("PullImages", _PULLS, named.repositories),
        statement("LogInToImages", ["ecr:GetAuthorizationToken"], ["*"] if named.repositories else []),
        statement("LeaveTheGroup", ["autoscaling:TerminateInstanceInAutoScalingGroup"], named.groups),
    ]
    if "sagemaker" in targets:
        region, account = named.place()
        group = f"arn:{named.partition}:logs:{region}:{account}:log-group:/aws/sagemaker/TrainingJobs"
        actions = ["logs:CreateLogGroup", *_WRITES, "logs:DescribeLogStreams"]
        made.append(statement("WriteTrainingLogs", actions, [group, group + ":*"]))
    return document(made)


def vpc_policy(named: Named) -> dict[str, Json]:
    """Return what a worker's role needs where SageMaker runs it in a network of one's own."""
    region, account = named.place()
    there = [
        f"arn:{named.partition}:ec2:{region}:{account}:{kind}/*" for kind in ("security-group", "subnet")
    ]
    interface = f"arn:{named.partition}:ec2:{region}:{account}:network-interface/*"
    return document(
        [
            statement("MakeInterfaces", ["ec2:CreateNetworkInterface"], [interface, *there]),
            statement("UseInterfaces", _INTERFACES, [interface]),
            statement("LookAtTheNetwork", _NETWORK_LOOKS, ["*"]),
        ]
    )


def lambda_policy(named: Named) -> dict[str, Json]:
    """Return what a coordinator that runs as a Lambda function needs besides the study: its log, and its events."""
    reads = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
    return document(
        [
            statement("WriteItsLog", _WRITES, [f"{group}:*" for group in named.log_groups]),
            statement("TakeEvents", reads, named.queues),
        ]
    )


def scheduler_policy(named: Named) -> dict[str, Json]:
    """Return what it takes to switch off one's own schedule when the study is done.

    Raises:
        UserError: a schedule without the role that it runs as: who updates a schedule passes its role anew.
    """
    if named.schedules and not named.schedule_roles:
        raise UserError(
            "--schedule-arn: --schedule-role-arn is missing, the role that the schedule calls with"
        )
    condition = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    actions = ("scheduler:GetSchedule", "scheduler:UpdateSchedule")
    return document(
        [
            statement("SwitchItsSchedule", actions, named.schedules),
            statement("PassTheSchedulesRole", ["iam:PassRole"], named.schedule_roles, condition=condition),
        ]
    )


def invoke_policy(named: Named) -> dict[str, Json]:
    """Return what the role of a coordinator's schedule needs: to call its functions."""
    return document([statement("CallTheCoordinator", ["lambda:InvokeFunction"], named.functions)])


def events_policy(named: Named) -> dict[str, Json]:
    """Return the policies of queues by which EventBridge's rules, and nobody else, may send to them, over TLS."""
    sends = statement(
        "RulesSend",
        ["sqs:SendMessage"],
        named.queues,
        condition={"ArnEquals": {"aws:SourceArn": list(named.rules)}},
    )
    plain = statement(
        "OverTlsOnly",
        ["sqs:*"],
        named.queues,
        effect="Deny",
        condition={"Bool": {"aws:SecureTransport": "false"}},
    )
    return document([sends | {"Principal": {"Service": "events.amazonaws.com"}}, plain | {"Principal": "*"}])


def trust_policy(service: str, account: str, *, partition: str = "aws") -> dict[str, Json]:
    """Return who may take a role: a service of AWS, and where it says for whom, on behalf of this account only.

    Args:
        service: ``ec2``, ``ecs-tasks``, ``lambda``, ``sagemaker`` or ``scheduler``.
        account: its number.
        partition: one of PARTITIONS.
    """
    domain = "amazonaws.com.cn" if partition == "aws-cn" and service == "ec2" else "amazonaws.com"
    made: dict[str, Json] = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": f"{service}.{domain}"},
    }
    if service in _GUARDED:
        made["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return {"Version": "2012-10-17", "Statement": [made]}
