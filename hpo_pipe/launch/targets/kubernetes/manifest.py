"""The Job that a submission is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Order
from hpo_pipe.launch.targets.kubernetes.options import GKE
from hpo_pipe.launch.targets.kubernetes.rules import REGION, SHM, SPOT_LABELS, grace_s, mounts, pairs
from storage_schema.codec import Json
from storage_schema.machine import ON_DEMAND

CONTAINER = "worker"
INTERRUPTED, USAGE, CONFIGURATION = 75, 2, 78
"""Exit codes of a worker: to be started again, and never to be."""


def job(order: Order) -> dict[str, Json]:
    """Return the manifest: one index for each worker.

    There is no successPolicy, which would end all when the first is idle; and no activeDeadlineSeconds, which ends them
    without their trials being waited for: ``--max-runtime`` does that, in each worker.
    """
    settings = order.settings
    annotations = {"hpo-pipe/study": order.plan.study, "hpo-pipe/submission": order.name}
    labels = _labels(order)
    queue = {"kueue.x-k8s.io/queue-name": settings["queue_name"]} if settings["queue_name"] else {}
    place = {"namespace": settings["namespace"]} if settings["namespace"] else {}
    most = settings["max_failed_indexes"]
    spec: dict[str, Json] = {
        "completionMode": "Indexed",
        "completions": order.workers,
        "parallelism": order.workers,
        "backoffLimitPerIndex": settings["backoff_limit_per_index"],
        # Not by default: it could not be changed with completions, by which waiting workers are withdrawn.
        **({} if most is None else {"maxFailedIndexes": min(most, order.workers)}),
        "podReplacementPolicy": "Failed",  # not before the old one has given its trials back, and its GPUs
        "podFailurePolicy": {"rules": _failures()},
        "ttlSecondsAfterFinished": settings["ttl_seconds_after_finished"],
        "template": {
            "metadata": {"labels": labels, "annotations": {**pairs(settings["annotation"]), **annotations}},
            "spec": _pod(order),
        },
    }
    metadata = {"name": order.name, **place, "labels": {**labels, **queue}, "annotations": annotations}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _failures() -> list[Json]:
    """Return what becomes of a worker that failed; the first rule that fits counts, and without any it is a crash.

    Ignore starts another in its place without counting it: that is right for a machine that was taken away, and for 75.
    """
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    interrupted = {"containerName": CONTAINER, "operator": "In", "values": [INTERRUPTED]}
    hopeless = {"containerName": CONTAINER, "operator": "In", "values": [USAGE, CONFIGURATION]}
    return [
        {"action": "Ignore", "onPodConditions": [disrupted]},
        {"action": "Ignore", "onExitCodes": interrupted},
        {"action": "FailIndex", "onExitCodes": hopeless},
    ]


def _labels(order: Order) -> dict[str, Json]:
    study = re.sub(r"[^A-Za-z0-9_.-]+", "-", order.plan.study)[:63].strip("-_.") or "study"
    return {
        **dict(order.plan.tags),
        "app.kubernetes.io/name": "hpo-pipe",
        "app.kubernetes.io/component": "worker",
        "hpo-pipe/study": study,
        "hpo-pipe/submission": order.name,
    }


def _pod(order: Order) -> dict[str, Json]:
    settings = order.settings
    user = {"runAsUser": settings["run_as_user"]} if settings["run_as_user"] else {}
    group = (
        {"fsGroup": settings["fs_group"], "fsGroupChangePolicy": "OnRootMismatch"}
        if settings["fs_group"]
        else {}
    )
    named = {
        "serviceAccountName": settings["service_account"],
        "priorityClassName": settings["priority_class_name"],
        "imagePullSecrets": [{"name": name} for name in settings["image_pull_secret"]],
        "nodeSelector": _node_selector(order),
        "affinity": _affinity(order),
        "tolerations": _tolerations(order),
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_s(settings, order.plan),
        "automountServiceAccountToken": False,  # a worker asks its bucket, and never the cluster
        "enableServiceLinks": False,
        **{name: value for name, value in named.items() if value},
        "securityContext": {
            "runAsNonRoot": True,
            **user,
            **group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order)],
        "volumes": [
            {
                "name": "shm",
                "emptyDir": {
                    "medium": "Memory",
                    **({"sizeLimit": settings["shm_size"]} if settings["shm_size"] else {}),
                },
            },
            *(
                {"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": name}}
                for number, (name, _) in enumerate(mounts(settings))
            ),
        ],
    }


def _container(order: Order) -> dict[str, Json]:
    settings, plan = order.settings, order.plan
    handed = pairs(settings["secret_key_ref"])
    arguments = order.worker_arguments(float(grace_s(settings, plan)), handed=handed)
    environment = order.worker_environment(pairs(settings["node_selector"]).get(REGION, ""))
    plain = [{"name": name, "value": _literal(value)} for name, value in sorted(environment.items())]
    return {
        "name": CONTAINER,
        "image": plan.image,
        "args": [_literal(text) for text in ("worker", *arguments)],
        "env": [*plain, *map(_from_secret, settings["secret_key_ref"])],
        **({"resources": resources} if (resources := _resources(order)) else {}),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "shm", "mountPath": SHM},
            *(
                {"name": f"claim-{number}", "mountPath": mount}
                for number, (_, mount) in enumerate(mounts(settings))
            ),
        ],
    }


def _literal(text: str) -> str:
    """Return what the kubelet makes `text` of: it fills in $(NAME), and takes $$ for $."""
    return text.replace("$", "$$")


def _from_secret(text: str) -> dict[str, Json]:
    name, _, place = text.partition("=")
    secret, _, key = place.partition("/")
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _resources(order: Order) -> dict[str, Json]:
    settings, gpus = order.settings, order.plan.gpus
    requests = {name: settings[name] for name in ("cpu", "memory") if settings[name]}
    limits = {name: value for name, value in requests.items() if name == "memory"}
    if gpus:
        limits[settings["gpu_resource"]] = str(gpus)
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}


def _node_selector(order: Order) -> dict[str, str]:
    selector = pairs(order.settings["node_selector"])
    nodes, hiring = order.settings["spot_nodes"], order.plan.hiring
    if nodes and hiring != SPOT_THEN_ON_DEMAND:
        key, spot, other = SPOT_LABELS[nodes]
        if value := other if hiring == ON_DEMAND else spot:
            selector[key] = value
    return selector


def _affinity(order: Order) -> dict[str, Json]:
    """Return what a selector cannot say: rather spot, and without the label."""
    nodes, hiring = order.settings["spot_nodes"], order.plan.hiring
    if not nodes:
        return {}
    key, spot, other = SPOT_LABELS[nodes]
    if hiring == SPOT_THEN_ON_DEMAND:
        rather = {"matchExpressions": [{"key": key, "operator": "In", "values": [spot]}]}
        return {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": rather}]
            }
        }
    if hiring == ON_DEMAND and not other:
        never = {"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]}
        return {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [never]}}
        }
    return {}


def _tolerations(order: Order) -> list[Json]:
    settings = order.settings
    given = [_toleration(text) for text in settings["toleration"]]
    if order.plan.gpus:
        given.append(_toleration(f"{settings['gpu_resource']}:NoSchedule"))
    if settings["spot_nodes"] == GKE and order.plan.hiring != ON_DEMAND:
        given.append(_toleration(f"{SPOT_LABELS[GKE][0]}=true:NoSchedule"))
    return [found for place, found in enumerate(given) if found not in given[:place]]


def _toleration(text: str) -> dict[str, Json]:
    taint, _, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    how: Mapping[str, Json] = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
    return {"key": key, **how, **({"effect": effect} if effect else {})}
