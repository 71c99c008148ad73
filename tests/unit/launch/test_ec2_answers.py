"""What ``submit ec2`` makes of EC2's answers: quotas, capacity, tokens that are taken, and machines in every state."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import ANY, Stubber

from hpo_pipe.launch import aws
from hpo_pipe.launch.target import JobState, Launched, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.ec2 import TARGET, VISIBLE_S, Ec2
from storage_schema.errors import UserError
from tests.unit.launch.orders import in_region, order

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GIVEN: dict[str, Any] = {
    "instance_type": ["g5.xlarge", "g4dn.xlarge"],
    "image_id": "ami-0123456789abcdef0",
    "iam_instance_profile": "hpo-pipe-worker",
    "region": "eu-west-1",
}
IDS = ["i-0aaa0000000000001", "i-0aaa0000000000002", "i-0aaa0000000000003"]
FLEET = {"FleetId": "fleet-0123456789abcdef0"}
NO_MACHINES: dict[str, Any] = {"Reservations": []}


@dataclass
class Ec2Stub:
    """EC2 by a script, in which each answer is held against the model of it, and each request checked to be next."""

    stubber: Stubber
    operations: list[str] = field(default_factory=list)

    def answers(self, operation: str, answer: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        self.stubber.add_response(operation, answer, expected)

    def refuses(self, operation: str, code: str, message: str = "because", status: int = 400) -> None:
        self.stubber.add_client_error(operation, code, message, http_status_code=status)

    def up_to_the_fleet(self) -> None:
        self.answers("describe_instances", NO_MACHINES)
        self.answers("describe_images", {"Images": [{"RootDeviceName": "/dev/xvda"}]})
        self.answers("create_launch_template", {"LaunchTemplate": {}})


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2Stub]:
    in_region(monkeypatch)
    asked = aws.client("ec2", {"region": "eu-west-1", "profile": None}, attempts=1)
    for module in ("", ".machines", ".answers"):
        monkeypatch.setattr(f"hpo_pipe.launch.targets.ec2{module}.client", lambda *_: asked)
    with Stubber(asked) as stubber:
        yield Ec2Stub(stubber)
        stubber.assert_no_pending_responses()


def made(workers: int = 3, **plan: Any) -> Any:
    return order(TARGET, GIVEN, workers, **{"image": IMAGE, "hiring": "spot", **plan})


def started(*ids: str, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {**FLEET, "Instances": [{"InstanceIds": list(ids)}] if ids else [], "Errors": errors or []}


def error(code: str, message: str, kind: str = "g5.xlarge") -> dict[str, Any]:
    about = {"LaunchTemplateAndOverrides": {"Overrides": {"InstanceType": kind}}}
    return {"ErrorCode": code, "ErrorMessage": message, "Lifecycle": "spot", **about}


def machine(name: str, state: str = "running", code: str = "", message: str = "") -> dict[str, Any]:
    return {
        "InstanceId": name,
        "InstanceType": "g5.xlarge",
        "Placement": {"AvailabilityZone": "eu-west-1a"},
        "State": {"Name": state},
        **({"StateReason": {"Code": code, "Message": message}} if code else {}),
    }


def listing(*machines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [each]} for each in machines], **more}


def test_what_was_started_is_waited_for_until_it_is_listed(ec2: Ec2Stub) -> None:
    class Clock:
        at = 0.0

        def monotonic(self) -> float:
            return self.at

        def sleep(self, seconds: float) -> None:
            self.at += seconds

    ordered, clock = made(), Clock()
    where = {
        "Filters": [{"Name": "tag:hpo-pipe:submission", "Values": [ordered.name]}],
        "MaxResults": 1000,
    }
    ec2.up_to_the_fleet()
    ec2.answers("create_fleet", started(*IDS))
    ec2.answers("describe_instances", NO_MACHINES, where)
    ec2.answers("describe_instances", listing(machine(IDS[0], "pending")), where)
    ec2.answers("describe_instances", listing(*(machine(name, "pending") for name in IDS)), where)
    assert Ec2(clock).launch(ordered) == Launched(jobs=tuple(IDS), workers=3)  # type: ignore[arg-type]
    assert 0 < clock.at < VISIBLE_S


def test_machines_that_are_there_were_started_before(ec2: Ec2Stub) -> None:
    ec2.answers("describe_instances", listing(*(machine(name) for name in IDS)))
    assert TARGET.launch(made()).jobs == tuple(IDS)
    ec2.answers("describe_instances", listing(machine(IDS[0])))
    found = TARGET.launch(made())
    assert (found.jobs, found.workers, found.refusal) == ((IDS[0],), 1, Refusal.CAPACITY)


@pytest.mark.parametrize(
    ("errors", "meaning", "words"),
    [
        (
            [error("InsufficientInstanceCapacity", "We currently do not have sufficient g5.xlarge capacity")],
            Refusal.CAPACITY,
            "g5.xlarge: InsufficientInstanceCapacity: We currently do not have",
        ),
        (
            [
                error(
                    "InvalidFleetConfiguration",
                    "g5.xlarge is not supported in your requested Availability Zone",
                ),
                error("VcpuLimitExceeded", "You have requested more vCPU capacity", "g4dn.xlarge"),
            ],
            Refusal.QUOTA,
            "g4dn.xlarge: VcpuLimitExceeded",
        ),
        (
            [error("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")],
            Refusal.QUOTA,
            "g5.xlarge: Max",
        ),
        (
            [
                error(
                    "InvalidFleetConfiguration",
                    "is not supported in your requested Availability Zone (eu-west-1c)",
                )
            ],
            Refusal.CAPACITY,
            "InvalidFleetConfiguration",
        ),
        ([error("UnfulfillableCapacity", "Unable to fulfill capacity")], Refusal.CAPACITY, "Unfulfillable"),
        (
            [error("UnauthorizedOperation", "You are not authorized to use launch template")],
            Refusal.DENIED,
            "Unauth",
        ),
        (
            [
                error(
                    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
                    "cannot create the service-linked role",
                )
            ],
            Refusal.DENIED,
            "ServiceLinkedRole",
        ),
        ([error("InvalidAMIID.NotFound", "The image id does not exist")], Refusal.INVALID, "InvalidAMIID"),
        ([], Refusal.CAPACITY, "EC2 started 2 of 3 machines, and does not say why"),
    ],
)
def test_a_part_is_started_and_the_rest_told(ec2: Ec2Stub, errors: Any, meaning: Refusal, words: str) -> None:
    ec2.up_to_the_fleet()
    ec2.answers("create_fleet", started(*IDS[:2], errors=errors))
    ec2.answers("describe_instances", listing(machine(IDS[0]), machine(IDS[1])))
    found = TARGET.launch(made())
    assert (found.jobs, found.workers, found.refusal) == (tuple(IDS[:2]), 2, meaning)
    assert words in found.message


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("RequestLimitExceeded", 503, None),
        ("Throttling", 400, Refusal.THROTTLED),
        ("VcpuLimitExceeded", 400, Refusal.QUOTA),
        ("InsufficientInstanceCapacity", 500, Refusal.CAPACITY),
        ("UnauthorizedOperation", 403, Refusal.DENIED),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", 403, Refusal.DENIED),
        ("InvalidParameterValue", 400, Refusal.INVALID),
        ("InternalError", 500, None),
    ],
)
def test_refusals_are_answers(ec2: Ec2Stub, code: str, status: int, meaning: Refusal | None) -> None:
    """None: a server that fails may have started them; the token keeps the next request from starting them again."""
    ec2.up_to_the_fleet()
    ec2.refuses("create_fleet", code, status=status)
    if meaning is None:
        with pytest.raises(TargetUnavailable, match=f"CreateFleet: {code}"):
            TARGET.launch(made())
        return
    found = TARGET.launch(made())
    assert (found.jobs, found.workers, found.refusal) == ((), 0, meaning)
    assert found.message == f"{code}: because"


def test_a_template_of_that_name_is_used_again_and_one_that_is_denied_told(ec2: Ec2Stub) -> None:
    for code in ("InvalidLaunchTemplateName.AlreadyExistsException", "UnauthorizedOperation"):
        ec2.answers("describe_instances", NO_MACHINES)
        ec2.answers("describe_images", {"Images": [{"RootDeviceName": "/dev/xvda"}]})
        ec2.refuses("create_launch_template", code)
        if code == "UnauthorizedOperation":
            assert TARGET.launch(made()).refusal is Refusal.DENIED
            continue
        ec2.answers("create_fleet", started(*IDS))
        ec2.answers("describe_instances", listing(*map(machine, IDS)))
        assert TARGET.launch(made()).workers == 3


def test_a_token_that_was_used_with_other_words(ec2: Ec2Stub) -> None:
    ec2.up_to_the_fleet()
    ec2.refuses("create_fleet", "IdempotentParameterMismatch")
    ec2.answers("describe_instances", listing(*map(machine, IDS)))
    assert TARGET.launch(made()) == Launched(jobs=tuple(IDS), workers=3)
    ec2.up_to_the_fleet()
    ec2.refuses("create_fleet", "IdempotentParameterMismatch")
    ec2.answers("describe_instances", NO_MACHINES)
    found = TARGET.launch(made())
    assert (found.workers, found.refusal) == (0, Refusal.CAPACITY)


def test_who_may_not_look_may_start(ec2: Ec2Stub) -> None:
    ec2.refuses("describe_instances", "UnauthorizedOperation", status=403)
    ec2.refuses("describe_images", "UnauthorizedOperation", status=403)
    ec2.answers("create_launch_template", {"LaunchTemplate": {}})
    ec2.answers(
        "create_fleet", started(*IDS), {**dict.fromkeys(FLEET_MEMBERS, ANY), "ClientToken": made().name}
    )
    ec2.refuses("describe_instances", "UnauthorizedOperation", status=403)
    assert TARGET.launch(made()).workers == 3
    ec2.refuses("describe_instances", "UnauthorizedOperation", status=403)
    with pytest.raises(
        TargetUnavailable,
        match=r"DescribeInstances: UnauthorizedOperation.*the right ec2:DescribeInstances is",
    ):
        TARGET.look(made(), IDS)


FLEET_MEMBERS = (
    *("Type", "TargetCapacitySpecification", "SpotOptions", "LaunchTemplateConfigs", "TagSpecifications"),
)


def test_no_answer_is_none(ec2: Ec2Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://ec2")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", lost)
    with pytest.raises(TargetUnavailable, match="Read timeout"):
        TARGET.launch(made())


@pytest.mark.parametrize(
    ("state", "code", "meaning", "words"),
    [
        ("pending", "", JobState.PENDING, "g5.xlarge in eu-west-1a: pending"),
        ("running", "", JobState.RUNNING, "running"),
        ("shutting-down", "Client.UserInitiatedShutdown", JobState.RUNNING, "shutting-down"),
        ("stopping", "", JobState.RUNNING, "stopping"),
        ("stopped", "Client.UserInitiatedShutdown", JobState.CANCELLED, "its disk still costs"),
        ("terminated", "Client.UserInitiatedShutdown", JobState.CANCELLED, "it was ended"),
        ("terminated", "Client.InstanceInitiatedShutdown", JobState.DONE, "it ended itself"),
        ("terminated", "Server.SpotInstanceTermination", JobState.FAILED, "took the spot machine back"),
        ("terminated", "Server.InsufficientInstanceCapacity", JobState.FAILED, "the words of EC2"),
        ("terminated", "Client.InvalidSnapshot.NotFound", JobState.FAILED, "the words of EC2"),
    ],
)
def test_what_a_state_means(ec2: Ec2Stub, state: str, code: str, meaning: JobState, words: str) -> None:
    ec2.answers("describe_instances", listing(machine(IDS[0], state, code, "the words of EC2")))
    look = TARGET.look(made(1), IDS[:1])
    assert look.counts == {meaning: 1}
    assert words in look.jobs[0].detail


def test_machines_page_after_page_and_those_that_ec2_has_forgotten(ec2: Ec2Stub) -> None:
    ec2.answers("describe_instances", listing(machine(IDS[0]), NextToken="t"))
    ec2.answers(
        "describe_instances",
        listing(machine(IDS[1], "pending")),
        {"Filters": ANY, "MaxResults": 1000, "NextToken": "t"},
    )
    look = TARGET.look(made(), IDS)
    assert look.counts == {JobState.PENDING: 1, JobState.RUNNING: 1, JobState.DONE: 1}
    assert look.jobs[-1].detail == "no longer listed"


def test_cancelling_ends_what_has_not_ended(ec2: Ec2Stub) -> None:
    states = listing(machine(IDS[0], "pending"), machine(IDS[1], "stopped"), machine(IDS[2], "terminated"))
    ec2.answers("describe_instances", states)
    ec2.answers("terminate_instances", {}, {"InstanceIds": IDS[:2]})
    assert TARGET.cancel(made(), IDS) == 2
    ec2.answers("describe_instances", states)
    ec2.answers("terminate_instances", {}, {"InstanceIds": IDS[:1]})
    assert TARGET.cancel(made(), (), pending_only=True) == 1
    ec2.answers("describe_instances", states)
    ec2.refuses("terminate_instances", "UnauthorizedOperation", status=403)
    with pytest.raises(TargetUnavailable, match="TerminateInstances: UnauthorizedOperation"):
        TARGET.cancel(made(), IDS)


def test_the_console_of_machines_that_tell_it_now_and_of_those_that_do_not(ec2: Ec2Stub) -> None:
    ec2.answers("describe_instances", listing(machine(IDS[0]), machine(IDS[1])))
    ec2.answers("get_console_output", {"Output": "b25lCnR3bxtbMkoK"}, {"InstanceId": IDS[0], "Latest": True})
    ec2.refuses("get_console_output", "UnsupportedOperation")
    ec2.answers("get_console_output", {"Output": "dGhyZWU="}, {"InstanceId": IDS[1]})
    ec2.refuses("get_console_output", "InvalidInstanceID.NotFound")
    found = list(TARGET.logs(made(), IDS, None, 1))
    assert found == [f"==> {IDS[0]} <==", "two\\x1b[2J", f"==> {IDS[1]} <==", "three"]
    ec2.answers("describe_instances", listing(machine(IDS[0])))
    with pytest.raises(UserError, match="machine 'i-other' is not of this submission"):
        list(TARGET.logs(made(), IDS, "i-other", 10))


def test_an_error_that_is_no_answer_is_not_taken_for_one() -> None:
    from hpo_pipe.launch.targets.ec2.answers import meaning_of

    assert meaning_of(ClientError({"Error": {"Code": "Blocked"}}, "CreateFleet"))[0] is Refusal.DENIED
    with pytest.raises(ValueError, match="mine"):
        meaning_of(ValueError("mine"))
