"""What EC2 answers to a fleet, and what is wrong with an image or a launch template before one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_pipe.launch.aws import client, learn, refusal_of, said_line
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Launched, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.ec2.options import ROOT_DEVICE
from hpo_pipe.launch.targets.ec2.request import template_of

_SSM = "resolve:ssm:"
_NOT_THERE = ("is not supported in your requested Availability Zone", "not supported in availability zone")
"""What a fleet's error says, under several codes, where a type is not offered in a zone."""
_PREFERRED = tuple(Refusal)
"""Of several reasons that one is told first which time or another offer may mend."""


def launched(order: Order, answer: Mapping[str, Any]) -> Launched:
    """Return what an instant fleet started, and why it is not all."""
    jobs = tuple(name for group in answer.get("Instances") or () for name in group.get("InstanceIds") or ())
    if len(jobs) >= order.workers:
        return Launched(jobs=jobs, workers=len(jobs))
    found = [_meaning(error) for error in answer.get("Errors") or ()]
    refusal = min((kind for kind, _ in found), key=_PREFERRED.index, default=Refusal.CAPACITY)
    said = dict.fromkeys(words for kind, words in found if kind is refusal)
    message = "; ".join(said) or f"EC2 started {len(jobs)} of {order.workers} machines, and does not say why"
    return Launched(jobs=jobs, workers=len(jobs), refusal=refusal, message=said_line(message))


def meaning_of(error: Exception) -> tuple[Refusal, str]:
    """Do as :func:`hpo_pipe.launch.aws.refusal_of`, with EC2's own ways of telling things."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return refusal_of(error)
    told = error.response.get("Error", {})
    code, said = str(told.get("Code", "")), str(told.get("Message", ""))
    refusal, message = refusal_of(error)
    if any(words in said for words in _NOT_THERE):
        refusal = Refusal.CAPACITY
    elif code.startswith("AuthFailure."):
        refusal = Refusal.DENIED
    elif code == "InvalidSpotFleetRequestConfig" and "Spot Instance" in said and "exceed" in said:
        refusal = Refusal.QUOTA
    return refusal, message


def mistake(asked: Any, order: Order) -> str:
    """Return what is wrong with the image or the template that machines are made from, or nothing.

    A look that EC2 does not allow finds nothing wrong.
    """
    try:
        return (
            _template_mistake(asked, order)
            if order.settings["launch_template"]
            else _image_mistake(asked, order)
        )
    except TargetUnavailable:
        return ""


def _image_mistake(asked: Any, order: Order) -> str:
    """A disk under a wrong name would come as a second one, and the first one stay small."""
    wanted = order.settings["root_device_name"] or ROOT_DEVICE
    image: str = order.settings["image_id"]
    if image.startswith(_SSM):
        name = image.removeprefix(_SSM)
        found = learn(client("ssm", order.settings), "GetParameters", {"Names": [name]})["Parameters"]
        image = found[0]["Value"] if found else ""
    images = learn(asked, "DescribeImages", {"ImageIds": [image]})["Images"] if image else []
    there = images[0].get("RootDeviceName", wanted) if images else wanted
    if there == wanted:
        return ""
    return f"--root-device-name is {wanted}, expected that of {order.settings['image_id']}, {there}"


def _template_mistake(asked: Any, order: Order) -> str:
    named = template_of(order)
    version = named.pop("Version")
    told = learn(asked, "DescribeLaunchTemplateVersions", {**named, "Versions": [version]})
    data = told["LaunchTemplateVersions"][0]["LaunchTemplateData"] if told["LaunchTemplateVersions"] else {}
    shown = f"--launch-template {order.settings['launch_template']}"
    behaviour = data.get("InstanceInitiatedShutdownBehavior", "stop")
    if behaviour != "terminate":
        return (
            f"{shown}: its machines would stay when they shut down, stopped; expected "
            f"InstanceInitiatedShutdownBehavior terminate, found {behaviour}"
        )
    return ""


def _meaning(error: Mapping[str, Any]) -> tuple[Refusal, str]:
    """Return what one of a fleet's errors means, with the type that it is about."""
    from botocore.exceptions import ClientError

    code, said = error.get("ErrorCode", ""), error.get("ErrorMessage", "")
    refusal, message = meaning_of(ClientError({"Error": {"Code": code, "Message": said}}, "CreateFleet"))
    kind = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {}).get("InstanceType")
    return refusal, f"{kind}: {message}" if kind else message
