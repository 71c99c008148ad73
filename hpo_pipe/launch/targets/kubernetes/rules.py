"""Rules between the options of ``submit kubernetes``, and what they mean. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from hpo_pipe.launch.image import check_image
from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Plan
from hpo_pipe.launch.own_options import gathered
from hpo_pipe.launch.secrets import check_not_reserved
from hpo_pipe.launch.targets.kubernetes.options import (
    EKS,
    GKE,
    GKE_SPOT_GRACE_S,
    GRACE_S,
    KARPENTER,
    KEY,
    VALUE,
)
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.machine import ON_DEMAND, SPOT
from storage_schema.secret_refs import checked_variable

SHM = "/dev/shm"  # noqa: S108 (of the pod)
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
REGION = "topology.kubernetes.io/region"
SPOT_LABELS: Mapping[str, tuple[str, str, str]] = {
    KARPENTER: ("karpenter.sh/capacity-type", "spot", "on-demand"),
    EKS: ("eks.amazonaws.com/capacityType", "SPOT", "ON_DEMAND"),
    GKE: ("cloud.google.com/gke-spot", "true", ""),
}
"""Label of nodes, and its value on spot ones and on others; empty: these have no such label."""
_OURS = re.compile(
    r"hpo-pipe/.*|(batch\.kubernetes\.io/)?(job-name|controller-uid|job-completion-index)|"
    r"app\.kubernetes\.io/(name|component)|kueue\.x-k8s\.io/queue-name"
)


def check(settings: Mapping[str, Json], plan: Plan) -> None:
    """Hold options against each other and against the plan.

    Raises:
        UserError: one line for each mistake.
    """
    rules = (_image, _hiring, _labels, _variables, _secrets, _volumes, _study)
    gathered(*((lambda r=rule: r(settings, plan)) for rule in rules))


def pairs(given: Iterable[str]) -> dict[str, str]:
    """Return what ``KEY=VALUE`` options say."""
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def mounts(settings: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return volume claims and where they are mounted."""
    return [(name, mount) for name, _, mount in (text.partition(":") for text in settings["pvc"])]


def grace_s(settings: Mapping[str, Json], plan: Plan) -> int:
    """Return the seconds between SIGTERM and SIGKILL."""
    if settings["grace_period"] is not None:
        return int(settings["grace_period"])
    short = settings["spot_nodes"] == GKE and plan.hiring != ON_DEMAND
    return GKE_SPOT_GRACE_S if short else GRACE_S


def lifecycle(plan: Plan) -> str:
    """Return what is known of the machines' hire before a scheduler has chosen them."""
    return plan.hiring if plan.hiring in (SPOT, ON_DEMAND) else ""


def _image(settings: Mapping[str, Json], plan: Plan) -> None:
    if not plan.image:
        raise UserError("--image is missing: its entry point is hpo-pipe")
    check_image(plan.image)


def _hiring(settings: Mapping[str, Json], plan: Plan) -> None:
    nodes = settings["spot_nodes"]
    if plan.hiring and not nodes:
        raise UserError(
            f"--{plan.hiring} needs --spot-nodes karpenter, eks or gke: which labels say that a node is spot"
        )
    if not nodes:
        return
    if not plan.hiring:
        raise UserError(f"--spot-nodes goes with --{SPOT}, --{ON_DEMAND} or --{SPOT_THEN_ON_DEMAND}")
    key = SPOT_LABELS[nodes][0]
    if key in pairs(settings["node_selector"]):
        raise UserError(f"--node-selector {key}: --{plan.hiring} says it already")


def _labels(settings: Mapping[str, Json], plan: Plan) -> None:
    for option in ("node_selector", "annotation"):
        keys = [text.partition("=")[0] for text in settings[option]]
        if twice := [key for key, count in Counter(keys).items() if count > 1]:
            raise UserError(f"--{option.replace('_', '-')} {twice[0]} is given twice")
    for key in pairs(settings["annotation"]):
        if _OURS.fullmatch(key):
            raise UserError(f"--annotation {key}: it is taken")
    for key, value in plan.tags:
        if not re.fullmatch(KEY, key) or not re.fullmatch(VALUE, value):
            raise UserError(
                f"--tag {f'{key}={value}'[:80]!r}: it becomes a label, whose key and value have at most 63 of "
                "letters, digits, -, _ and ., with a letter or digit at both ends"
            )
        if _OURS.fullmatch(key):
            instead = ": write --queue-name" if key.startswith("kueue") else ": it is taken"
            raise UserError(f"--tag {key}{instead}")


def _variables(settings: Mapping[str, Json], plan: Plan) -> None:
    names = [text.partition("=")[0] for text in settings["secret_key_ref"]]
    for name in names:
        checked_variable("--secret-key-ref", name)
        check_not_reserved("--secret-key-ref", name)
    taken = Counter([*names, *(name for name, _ in (*plan.env, *plan.secrets))])
    if twice := [name for name in names if taken[name] > 1]:
        raise UserError(f"--secret-key-ref {twice[0]}: the variable is given twice")
    for name, value in plan.env:
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise UserError(f"--env {name}: its value is not UTF-8, and a manifest is")


def _secrets(settings: Mapping[str, Json], plan: Plan) -> None:
    for name, ref in plan.secrets:
        if not ref.startswith("arn:"):
            raise UserError(
                f"--secret {name}: expected an ARN of Secrets Manager or SSM: pods have no such file; "
                f"or write --secret-key-ref {name}=SECRET/KEY"
            )


def _volumes(settings: Mapping[str, Json], plan: Plan) -> None:
    seen: list[str] = []
    for name, mount in mounts(settings):
        path = PurePosixPath(mount)
        if str(path) != mount or ".." in path.parts or mount in (SHM, "/dev", "/proc", "/sys"):
            raise UserError(f"--pvc {name}:{mount[:80]}: expected a plain absolute folder, such as /studies")
        if mount in seen:
            raise UserError(f"--pvc {name}:{mount[:80]}: another claim is mounted there")
        seen.append(mount)


def _study(settings: Mapping[str, Json], plan: Plan) -> None:
    if not plan.url.startswith("file:"):
        return
    path = PurePosixPath(unquote(urlsplit(plan.url).path))
    if not any(path.is_relative_to(mount) for _, mount in mounts(settings)):
        raise UserError(
            f"study {plan.url}: pods do not see this machine's folders; expected s3://..., or a folder under the "
            "mount of a --pvc NAME:/MOUNT that is called the same here"
        )
