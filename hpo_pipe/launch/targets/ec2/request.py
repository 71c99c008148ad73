"""What EC2 is asked for: one instant fleet, and the launch template that its machines are made from. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

from hpo_pipe.launch.aws import check_calls, tags_of
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import ApiCall
from hpo_pipe.launch.targets.ec2.machine import user_data
from hpo_pipe.launch.targets.ec2.options import CAPACITY_PRIORITIZED, PRIORITIZED, ROOT_DEVICE, VOLUME_GB
from storage_schema.codec import Json
from storage_schema.machine import SPOT

TAG = "hpo-pipe:submission"
"""The tag that machines are found by; its value is the submission's name."""
_TAGGED = ("instance", "volume", "network-interface")
_OPTIONS = {
    "TagSpecifications": "--tag",
    "TargetCapacitySpecification.TotalTargetCapacity": "--workers",
    "SpotOptions.AllocationStrategy": "--allocation-strategy",
    "OnDemandOptions.AllocationStrategy": "--on-demand-allocation-strategy",
    "LaunchTemplateConfigs[0].LaunchTemplateSpecification": "--launch-template",
    "LaunchTemplateConfigs": "--instance-type",
    "LaunchTemplateData.ImageId": "--image-id",
    "LaunchTemplateData.IamInstanceProfile": "--iam-instance-profile",
    "LaunchTemplateData.SecurityGroupIds": "--security-group-ids",
    "LaunchTemplateData.KeyName": "--key-name",
    "LaunchTemplateData.BlockDeviceMappings": "--volume-size-in-gb",
}


def requests(order: Order) -> tuple[ApiCall, ...]:
    """Return the requests of a launch, checked: the launch template where it is ours, and the fleet.

    Raises:
        UserError: AWS would not take them.
    """
    if order.settings["launch_template"]:
        named = {**template_of(order), "LaunchTemplateSpecificationUserData": _encoded(order, own=True)}
        calls: tuple[ApiCall, ...] = (_fleet(order, named),)
    else:
        ours = _template(order)
        named = {"LaunchTemplateName": ours.parameters["LaunchTemplateName"], "Version": "1"}
        calls = (ours, _fleet(order, named))
    check_calls(calls, _OPTIONS)
    return calls


def template_of(order: Order) -> dict[str, str]:
    """Return how EC2 names the user's launch template, and its version."""
    name, _, version = order.settings["launch_template"].rpartition(":")
    key = "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName"
    return {key: name, "Version": version}


def _template(order: Order) -> ApiCall:
    """Return the template of equal workers: its name is that of its content, so it never has to change."""
    settings = order.settings
    profile = settings["iam_instance_profile"]
    data: dict[str, Json] = {
        "ImageId": settings["image_id"],
        "IamInstanceProfile": {"Arn" if profile.startswith("arn:") else "Name": profile},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 2,
            "InstanceMetadataTags": "enabled",
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": settings["root_device_name"] or ROOT_DEVICE,
                "Ebs": {
                    "VolumeSize": settings["volume_size_in_gb"] or VOLUME_GB,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "UserData": _encoded(order),
    }
    if settings["security_group_ids"]:
        data["SecurityGroupIds"] = settings["security_group_ids"]
    if settings["key_name"]:
        data["KeyName"] = settings["key_name"]
    content = sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    parameters: dict[str, Json] = {
        "ClientToken": f"{order.name}-{content[:16]}",
        "LaunchTemplateName": f"hpo-pipe-{content[:32]}",
        "LaunchTemplateData": data,
        "TagSpecifications": [_tagged("launch-template", tags_of(order.tags()))],
    }
    return ApiCall(service="ec2", operation="CreateLaunchTemplate", parameters=parameters)


def _fleet(order: Order, template: Mapping[str, str]) -> ApiCall:
    settings = order.settings
    spot = order.offer.lifecycle == SPOT
    strategy = settings["allocation_strategy" if spot else "on_demand_allocation_strategy"]
    config: dict[str, Json] = {"LaunchTemplateSpecification": dict(template)}
    overrides = _overrides(order, ranked=strategy in (PRIORITIZED, CAPACITY_PRIORITIZED))
    if overrides:
        config["Overrides"] = overrides
    tags = tags_of(order.tags())
    parameters: dict[str, Json] = {
        "ClientToken": order.name,
        "Type": "instant",
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": order.workers,
            "DefaultTargetCapacityType": order.offer.lifecycle,
        },
        "SpotOptions" if spot else "OnDemandOptions": {"AllocationStrategy": strategy},
        "LaunchTemplateConfigs": [config],
        "TagSpecifications": [_tagged(kind, tags) for kind in ("fleet", *_TAGGED)],
    }
    return ApiCall(service="ec2", operation="CreateFleet", parameters=parameters)


def _overrides(order: Order, *, ranked: bool) -> list[Json]:
    """Return each type in each subnet. `ranked`: with the user's order of types, where that counts."""
    types: list[str | None] = list(order.settings["instance_type"]) or [None]
    subnets: list[str | None] = list(order.settings["subnet_ids"]) or [None]
    found: list[Json] = []
    for place, kind in enumerate(types):
        for subnet in subnets:
            each: dict[str, Json] = {}
            if kind is not None:
                each["InstanceType"] = kind
            if subnet is not None:
                each["SubnetId"] = subnet
            if ranked and kind is not None:
                each["Priority"] = float(place)
            found.append(each)
    return [each for each in found if each]


def _encoded(order: Order, *, own: bool = False) -> str:
    return b64encode(user_data(order, own=own).encode()).decode()


def _tagged(kind: str, tags: Mapping[str, str]) -> dict[str, Json]:
    return {
        "ResourceType": kind,
        "Tags": [{"Key": name, "Value": value} for name, value in sorted(tags.items())],
    }
