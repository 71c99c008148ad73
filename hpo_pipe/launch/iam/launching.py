"""What starting workers takes of a provider: launching, looking, cancelling, reading logs; and no more. Pure.

Which actions can be bound to what is from the Service Authorization Reference; where an action knows no resource its
statement says ``*`` and only looks. What is launched carries the tags of its submission (``Order.tags``), and only
what carries them may be ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hpo_pipe.launch.iam.documents import Statement, document, statement
from hpo_pipe.launch.iam.named import Named
from storage_schema.codec import Json
from storage_schema.errors import UserError

JOBS = "hpo-*"
"""What our jobs are called (``Order.name``)."""
DEFINITIONS = "hpo-pipe-*"
"""What job definitions and launch templates that we register are called."""
SAGEMAKER_LOGS = "/aws/sagemaker/TrainingJobs"
BATCH_LOGS = "/aws/batch/job"


def launch_policy(targets: Iterable[str], named: Named, *, prices: bool = False) -> dict[str, Json]:
    """Return the least that starting workers on `targets` takes, the study's store apart.

    Args:
        targets: of LAUNCHED.
        named: on what.
        prices: also the provider's price lists.

    Raises:
        UserError: a target that needs no rights of AWS, or one for which `named` lacks something.
    """
    made: list[Statement] = []
    for target in dict.fromkeys(targets):
        if target not in LAUNCHED:
            raise UserError(f"target {target[:40]!r}: policies are for {', '.join(LAUNCHED)}")
        made += LAUNCHED[target](named)
    if prices:
        made.append(statement("ReadPrices", ["ec2:DescribeSpotPriceHistory", "pricing:GetProducts"], ["*"]))
    return document(made)


def _aws_batch(named: Named) -> list[Statement]:
    if not named.job_queues:
        raise UserError(f"target aws-batch: --job-queue is missing, as in {named.example('job_queues')}")
    arn = _arn(named, "batch")
    registers = not named.job_definitions
    definitions = [name for each in named.job_definitions for name in _revisions(each)]
    made = [
        statement(
            "BatchSubmit",
            ["batch:SubmitJob"],
            [*named.job_queues, *(definitions or [arn(f"job-definition/{DEFINITIONS}")]), arn("job/*")],
        ),
        statement(
            "BatchTagJobs",
            ["batch:TagResource"],
            [arn("job/*")],
            condition=named.of_the_study("aws:RequestTag"),
        ),
        statement(
            "BatchEndJobs",
            ["batch:CancelJob", "batch:TerminateJob"],
            [arn("job/*")],
            condition=named.of_the_study("aws:ResourceTag"),
        ),
        statement(
            "BatchLook",
            [
                "batch:DescribeJobDefinitions",
                "batch:DescribeJobs",
                "batch:ListJobs",
            ],
            ["*"],
        ),
        _logs("BatchLogs", named.log_groups or [_group(named, BATCH_LOGS)]),
    ]
    if registers:
        actions = ["batch:RegisterJobDefinition", "batch:TagResource"]
        made.append(statement("BatchRegister", actions, [arn(f"job-definition/{DEFINITIONS}")]))
        made.append(_pass_role("BatchPassRole", named, "ecs-tasks", "aws-batch without --job-definition"))
    return made


def _sagemaker(named: Named) -> list[Statement]:
    job = [_arn(named, "sagemaker")(f"training-job/{JOBS}")]
    return [
        statement(
            "SageMakerJobs",
            [
                "sagemaker:AddTags",
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
            ],
            job,
        ),
        statement(
            "SageMakerEndJobs",
            ["sagemaker:StopTrainingJob"],
            job,
            condition=named.of_the_study("aws:ResourceTag"),
        ),
        statement("SageMakerLook", ["sagemaker:ListTrainingJobs"], ["*"]),
        _logs("SageMakerLogs", [_group(named, SAGEMAKER_LOGS)]),
        _pass_role("SageMakerPassRole", named, "sagemaker", "sagemaker"),
    ]


_EC2_INPUTS = (
    "key-pair",
    "network-interface",
    "security-group",
    "spot-instances-request",
    "subnet",
    "volume",
)
_EC2_CREATED = (
    "fleet",
    "instance",
    "launch-template",
    "network-interface",
    "spot-instances-request",
    "volume",
)
_EC2_LOOKS = (
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
)


def _ec2(named: Named) -> list[Statement]:
    arn = _arn(named, "ec2")
    region, _ = named.place()
    tagged = named.of_the_study("aws:RequestTag")
    exactly: dict[str, Json] = (
        {"ArnEquals": {"ec2:LaunchTemplate": sorted(named.launch_templates)}}
        if named.launch_templates
        else {}
    )
    public = [f"arn:{named.partition}:ec2:{region}::{kind}/*" for kind in ("image", "snapshot")]
    templates = named.launch_templates or (arn("launch-template/*"),)
    inputs = [*(arn(f"{kind}/*") for kind in _EC2_INPUTS), *public, *templates]
    creating = {"StringEquals": {"ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate", "RunInstances"]}}
    ending = ("ec2:GetConsoleOutput", "ec2:TerminateInstances")
    parameters = f"arn:{named.partition}:ssm:{region}::parameter/aws/service/*"
    return [
        statement("Ec2RunTagged", ["ec2:RunInstances"], [arn("instance/*")], condition=tagged | exactly),
        statement("Ec2RunWith", ["ec2:RunInstances"], inputs),
        statement("Ec2Fleet", ["ec2:CreateFleet"], [arn("fleet/*"), arn("instance/*"), *inputs]),
        statement(
            "Ec2TagWhatIsCreated",
            ["ec2:CreateTags"],
            [arn(f"{kind}/*") for kind in _EC2_CREATED],
            condition=creating,
        ),
        statement("Ec2End", ending, [arn("instance/*")], condition=named.of_the_study("aws:ResourceTag")),
        statement("Ec2Look", _EC2_LOOKS, ["*"]),
        statement("Ec2PublicImages", ["ssm:GetParameters"], [parameters]),
        _pass_role("Ec2PassRole", named, "ec2", "ec2"),
        *([] if named.launch_templates else [_ec2_templates(named)]),
    ]


def _ec2_templates(named: Named) -> Statement:
    templates = [_arn(named, "ec2")("launch-template/*")]
    tagged = named.of_the_study("aws:RequestTag")
    return statement("Ec2CreateTemplates", ["ec2:CreateLaunchTemplate"], templates, condition=tagged)


LAUNCHED: Mapping[str, Callable[[Named], list[Statement]]] = {
    "aws-batch": _aws_batch,
    "sagemaker": _sagemaker,
    "ec2": _ec2,
}
"""The targets that ask AWS, and what each takes."""


def _revisions(definition: str) -> list[str]:
    return (
        [definition] if ":" in definition.partition("job-definition/")[2] else [definition, definition + ":*"]
    )


def _arn(named: Named, service: str) -> Callable[[str], str]:
    region, account = named.place()
    return lambda tail: f"arn:{named.partition}:{service}:{region}:{account}:{tail}"


def _group(named: Named, name: str) -> str:
    return _arn(named, "logs")(f"log-group:{name}")


def _logs(sid: str, groups: Iterable[str]) -> Statement:
    actions = ["logs:DescribeLogStreams", "logs:GetLogEvents"]
    return statement(sid, actions, [name for group in groups for name in (group, group + ":*")])


def _pass_role(sid: str, named: Named, service: str, target: str) -> Statement:
    if not named.worker_roles:
        raise UserError(f"target {target}: --worker-role-arn is missing, the role that its workers run as")
    domain = "amazonaws.com.cn" if named.partition == "aws-cn" and service == "ec2" else "amazonaws.com"
    condition = {"StringEquals": {"iam:PassedToService": f"{service}.{domain}"}}
    return statement(sid, ["iam:PassRole"], named.worker_roles, condition=condition)
