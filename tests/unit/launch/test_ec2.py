"""``submit ec2``: the exact requests, and what is refused before anybody is asked."""

from base64 import b64decode
from typing import Any

import pytest
from botocore.validate import ParamValidator

from hpo_pipe.cli.submit_options import with_prices
from hpo_pipe.launch import aws
from hpo_pipe.launch.order import Price
from hpo_pipe.launch.target import ApiCall
from hpo_pipe.launch.targets.ec2 import TARGET
from hpo_pipe.launch.targets.ec2.machine import user_data
from storage_schema.errors import UserError
from tests.servers.scripted_aws import model
from tests.unit.launch.orders import check_golden, in_region, order, wire

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GIVEN: dict[str, Any] = {
    "instance_type": ["g5.xlarge", "g4dn.xlarge"],
    "image_id": "ami-0123456789abcdef0",
    "iam_instance_profile": "hpo-pipe-worker",
}
FULL: dict[str, Any] = {
    "instance_type": ["g5.xlarge", "g4dn.xlarge"],
    "image_id": "resolve:ssm:/aws/service/deeplearning/ami/x86_64/"
    "base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
    "iam_instance_profile": "arn:aws:iam::111122223333:instance-profile/team/hpo-pipe-worker",
    "subnet_ids": ["subnet-0abc1234", "subnet-0def5678"],
    "security_group_ids": ["sg-0abc1234"],
    "volume_size_in_gb": 200,
    "root_device_name": "/dev/sda1",
    "key_name": "gpu debugging",
    "program": "/opt/venv/bin/hpo-pipe",
    "on_demand_allocation_strategy": "lowest-price",
}
SECRETS = (("HF_TOKEN", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hf-AbCdEf#token"),)
THEIRS = {"launch_template": "gpu-workers:3"}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    in_region(monkeypatch)


def made(given: Any, workers: int = 1, **plan: Any) -> Any:
    return order(TARGET, given, workers, **{"image": IMAGE, **plan})


def test_a_spot_fleet_of_containers() -> None:
    prices = (Price(instance_type="g5.xlarge", lifecycle="spot", dollars_per_hour=0.42),)
    ordered = made(
        GIVEN, 4, hiring="spot", secrets=SECRETS, code="cd" * 32, max_runtime_s=7200.0, prices=prices
    )
    check_golden("ec2_spot", TARGET.calls(ordered))


def test_on_demand_with_all_options() -> None:
    check_golden("ec2_on_demand", TARGET.calls(made(FULL, hiring="on-demand", image="")))


def test_from_a_template_of_the_users() -> None:
    check_golden("ec2_template", TARGET.calls(made(THEIRS, 2, hiring="spot")))
    (call,) = TARGET.calls(
        made({"launch_template": "lt-0123456789abcdef0:$Latest", "instance_type": ["p4d.24xlarge"]})
    )
    (config,) = call.parameters["LaunchTemplateConfigs"]
    named = config["LaunchTemplateSpecification"]
    assert (named["LaunchTemplateId"], named["Version"]) == ("lt-0123456789abcdef0", "$Latest")
    assert config["Overrides"] == [{"InstanceType": "p4d.24xlarge", "Priority": 0.0}]


def test_machines_end_themselves_require_tokens_and_are_encrypted() -> None:
    template, fleet = TARGET.calls(made(GIVEN, 4, hiring="spot"))
    data = template.parameters["LaunchTemplateData"]
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "InstanceMetadataTags": "enabled",
    }
    (disk,) = data["BlockDeviceMappings"]
    assert disk["Ebs"] == {
        "VolumeSize": 100,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    assert "KeyName" not in data
    tagged = {each["ResourceType"]: each["Tags"] for each in fleet.parameters["TagSpecifications"]}
    assert set(tagged) == {"fleet", "instance", "volume", "network-interface"}
    assert tagged["instance"] == tagged["volume"]
    assert {tag["Key"] for tag in tagged["instance"]} == {"team", "hpo-pipe:study", "hpo-pipe:submission"}


def test_a_template_is_named_by_its_content_and_a_token_by_its_submission() -> None:
    def of(number: int, **changes: Any) -> tuple[str, str]:
        ordered = order(TARGET, {**GIVEN, **changes}, 2, number=number, image=IMAGE, hiring="spot")
        template, fleet = TARGET.calls(ordered)
        (config,) = fleet.parameters["LaunchTemplateConfigs"]
        name = template.parameters["LaunchTemplateName"]
        assert config["LaunchTemplateSpecification"] == {"LaunchTemplateName": name, "Version": "1"}
        assert fleet.parameters["ClientToken"] == ordered.name
        return name, fleet.parameters["ClientToken"]

    (first, token), (second, other) = of(3), of(4)
    assert first == second
    assert token != other
    assert of(3, volume_size_in_gb=200)[0] != first
    assert of(3, instance_type=["p4d.24xlarge"])[0] == first, "types are the fleet's"


def test_the_wire_carries_the_script() -> None:
    ordered = made(GIVEN, 2, hiring="spot", secrets=SECRETS)
    template, _ = TARGET.calls(ordered)
    script = b64decode(wire(template)["body"]["LaunchTemplateData.UserData"]).decode()
    assert script == user_data(ordered)
    assert script.startswith("#!/bin/sh\n")
    assert f"HF_TOKEN={SECRETS[0][1]}" in script, "where the secret lies, and not what it is"


def test_offers_are_one_for_each_lifecycle() -> None:
    def offers(hiring: str) -> list[str]:
        ordered = made(GIVEN, hiring=hiring)
        return [str(offer) for offer in TARGET.offers(ordered.settings, ordered.plan)]

    assert offers("") == ["g5.xlarge,g4dn.xlarge on-demand"]
    assert offers("spot-then-on-demand") == ["g5.xlarge,g4dn.xlarge spot", "g5.xlarge,g4dn.xlarge on-demand"]
    second = order(TARGET, GIVEN, 1, place=1, image=IMAGE, hiring="spot-then-on-demand")
    fleet = TARGET.calls(second)[-1].parameters
    assert fleet["TargetCapacitySpecification"]["DefaultTargetCapacityType"] == "on-demand"
    assert fleet["OnDemandOptions"] == {"AllocationStrategy": "prioritized"}
    assert "SpotOptions" not in fleet


def test_the_users_order_of_types_counts_where_the_strategy_knows_one() -> None:
    def ranks(**changes: Any) -> list[Any]:
        fleet = TARGET.calls(made({**GIVEN, **changes}, hiring="spot"))[-1].parameters
        return [each.get("Priority") for each in fleet["LaunchTemplateConfigs"][0]["Overrides"]]

    subnets = ["subnet-0abc1234", "subnet-0def5678"]
    assert ranks(subnet_ids=subnets) == [None] * 4
    assert ranks(subnet_ids=subnets, allocation_strategy="capacity-optimized-prioritized") == [
        0.0,
        0.0,
        1.0,
        1.0,
    ]


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"instance_type": []}, {}, "--instance-type is missing, expected something like g5.xlarge"),
        ({"instance_type": ["ml.g5.xlarge"]}, {}, "--instance-type is 'ml.g5.xlarge'"),
        (
            {"instance_type": ["g5.xlarge"] * 2},
            {},
            "--instance-type 'g5.xlarge' is given twice, expected each once",
        ),
        (
            {"instance_type": ["g5.xlarge", "g5g.xlarge"]},
            {},
            "g5g.xlarge has an Arm processor and g5.xlarge has not",
        ),
        ({"image_id": None}, {}, "--image-id is missing"),
        ({"image_id": "ubuntu"}, {}, "--image-id is 'ubuntu', expected something like ami-"),
        ({"image_id": "resolve:ssm:"}, {}, "--image-id is 'resolve:ssm:'"),
        ({"iam_instance_profile": None}, {}, "--iam-instance-profile is missing"),
        (
            {"iam_instance_profile": "arn:aws:iam::111122223333:role/hpo-pipe-worker"},
            {},
            "--iam-instance-profile is 'arn:aws:iam::111122223333:role/hpo-pipe-worker'",
        ),
        (
            {"subnet_ids": ["vpc-0abc1234"]},
            {},
            "--subnet-ids is 'vpc-0abc1234', expected something like subnet-",
        ),
        ({"security_group_ids": [f"sg-0abc123{i}" for i in range(6)]}, {}, "--security-group-ids: 6 of them"),
        ({"security_group_ids": ["default"]}, {}, "--security-group-ids is 'default'"),
        ({"volume_size_in_gb": 7}, {}, "--volume-size-in-gb is 7, expected an integer from 8 to 16384"),
        ({"volume_size_in_gb": 16_385}, {}, "--volume-size-in-gb is 16385"),
        ({"root_device_name": "xvda"}, {}, "--root-device-name is 'xvda', expected something like /dev/sda1"),
        ({"program": "hpo-pipe; reboot", "image": ""}, {}, "--program is 'hpo-pipe; reboot'"),
        ({"program": "/opt/hpo-pipe"}, {}, "--program is of the AMI, and --image starts a container"),
        ({"allocation_strategy": "cheapest"}, {}, "--allocation-strategy is 'cheapest'"),
        (
            {"on_demand_allocation_strategy": "diversified"},
            {},
            "--on-demand-allocation-strategy is 'diversified'",
        ),
        ({"launch_template": "gpu-workers"}, {}, "--launch-template is 'gpu-workers'"),
        ({"launch_template": "gpu-workers:latest"}, {}, "--launch-template is 'gpu-workers:latest'"),
        (
            {"launch_template": "gpu-workers:3"},
            {},
            "--launch-template has its own, so it does not go with --image-id, --iam-instance-profile",
        ),
        (
            {
                "instance_type": [f"m{i}.large" for i in range(1, 32)],
                "subnet_ids": [f"subnet-0abc123{i}" for i in range(10)],
            },
            {},
            "--instance-type and --subnet-ids: 31 times 10, expected at most 300",
        ),
        ({"region": "eu_west_1"}, {}, "--region is 'eu_west_1'"),
        ({}, {"image": "python:3 11"}, "--image is 'python:3 11'"),
        ({}, {"url": "file:///data/first"}, "machines of EC2 do not see this one's folders"),
        ({}, {"secrets": (("A", "file:/a"),)}, "--secret A: expected an ARN"),
        ({}, {"env": (("A", "two\nlines"),)}, "--env A: expected printable characters only"),
        ({}, {"tags": (("cost centre", "x"),)}, "--tag 'cost centre': machines see their tags"),
        ({}, {"tags": (("team/vision", "x"),)}, "--tag 'team/vision'"),
        ({}, {"tags": (("_index", "x"),)}, "--tag '_index'"),
    ],
)
def test_settings_that_ec2_would_not_take(changes: Any, plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        made({**GIVEN, **changes}, **plan)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"tags": tuple((f"t{i}", "x") for i in range(49))}, "--tag: 51 tags"),
        ({"tags": (("team", "a;b"),)}, "--tag 'team'"),
        ({"arguments": ("--name", "x" * 20_000)}, "user data have"),
    ],
)
def test_requests_that_ec2_would_not_take(plan: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        TARGET.calls(made(GIVEN, **plan))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (0, ("LaunchTemplateData", "InstanceInitiatedShutdownBehavior"), "Terminate"),
        (0, ("LaunchTemplateData", "MetadataOptions", "HttpTokens"), "mandatory"),
        (0, ("LaunchTemplateData", "MetadataOptions", "InstanceMetadataTags"), "on"),
        (0, ("LaunchTemplateData", "BlockDeviceMappings", 0, "Ebs", "VolumeType"), "ssd"),
        (0, ("TagSpecifications", 0, "ResourceType"), "template"),
        (1, ("Type",), "instantly"),
        (1, ("TargetCapacitySpecification", "DefaultTargetCapacityType"), "spots"),
        (1, ("SpotOptions", "AllocationStrategy"), "priceCapacityOptimized"),
        (1, ("SpotOptions", "InstanceInterruptionBehavior"), "die"),
        (1, ("LaunchTemplateConfigs",), [{}] * 51),
        (1, ("LaunchTemplateConfigs", 0, "Overrides", 0, "InstanceType"), "g5-xlarge"),
        (1, ("TagSpecifications", 1, "ResourceType"), "machine"),
    ],
)
def test_what_the_sdk_would_send_is_refused(number: int, path: tuple[Any, ...], value: Any) -> None:
    """Each of these passes botocore's own validation, and fails at the service, after credentials and seconds."""
    call = TARGET.calls(made(GIVEN, hiring="spot"))[number]
    parameters = _changed(dict(call.parameters), path, value)
    shape = model("ec2").operation_model(call.operation).input_shape
    assert not ParamValidator().validate(parameters, shape).has_errors()
    wrong = ApiCall(service="ec2", operation=call.operation, parameters=parameters)
    with pytest.raises(UserError, match=next(name for name in reversed(path) if isinstance(name, str))):
        aws.check_calls([wrong], {})


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _changed(copy.get(path[0]) if isinstance(copy, dict) else copy[path[0]], path[1:], new)
    return copy


def test_each_type_of_an_offer_has_its_price() -> None:
    ordered = made(GIVEN, hiring="spot-then-on-demand")
    priced = with_prices(
        ordered.plan, TARGET, ordered.settings, {"prices": None, "price_per_hour": 0.5, "dry_run": True}
    )
    assert [str(price.dollars_per_hour) for price in priced.prices] == ["0.5"] * 4
    assert {(price.instance_type, price.lifecycle) for price in priced.prices} == {
        (kind, way) for kind in GIVEN["instance_type"] for way in ("spot", "on-demand")
    }


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(UserError) as told:
        made({"subnet_ids": []}, env=(("TEXT", "two\nlines"),))
    lines = str(told.value).splitlines()
    assert [line.partition(" is ")[0] for line in lines[:3]] == [
        "--instance-type",
        "--image-id",
        "--iam-instance-profile",
    ]
    assert lines[3].startswith("--env TEXT: ") and len(lines) == 4


def test_a_missing_region_is_told_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"(?s)^--key-name is .*\n--region is missing.*\n--image is 'I/UP'"):
        made({**GIVEN, "key_name": "é"}, image="I/UP")
