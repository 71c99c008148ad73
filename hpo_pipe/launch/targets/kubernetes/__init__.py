"""``hpo-pipe submit kubernetes``: one Indexed Job, each index a worker."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.commands import answer_of, ask
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.own_options import options_of, settings_of
from hpo_pipe.launch.target import Call, CommandCall, Job, JobState, Launched, Look, TargetUnavailable
from hpo_pipe.launch.targets.kubernetes.cluster import (
    SOURCE,
    find_job,
    kubectl,
    place,
    refusal_of,
    selector,
)
from hpo_pipe.launch.targets.kubernetes.manifest import CONTAINER
from hpo_pipe.launch.targets.kubernetes.manifest import job as job_manifest
from hpo_pipe.launch.targets.kubernetes.options import TABLE
from hpo_pipe.launch.targets.kubernetes.pods import look_at, pods_of, workers_of
from hpo_pipe.launch.targets.kubernetes.rules import INSTANCE_TYPE, check, lifecycle, pairs
from hpo_pipe.launch.targets.kubernetes.yaml_text import yaml_text
from storage_schema.codec import Json

LOGS_LIMIT_S = 300.0
"""kubectl asks for one pod's log after the other's."""


class Kubernetes:
    """Workers as the indexes of one Job."""

    name = "kubernetes"
    summary = "A Job on a Kubernetes cluster."
    help = """Start workers as one Indexed Job, each in a pod of its own, with the kubectl of this machine.

    The image's entry point is hpo-pipe. A worker whose machine is taken back, or that is evicted, saves, gives its
    trials back, and starts again elsewhere, without that being counted; one that crashed starts again
    --backoff-limit-per-index times. The cluster is 1.29 or newer.

    Pods that wait for a machine cost nothing. Workers end with the study, or when they have had nothing to do for
    --idle-timeout, and an autoscaler then takes their machines away. Kubernetes deletes the ended Job after
    --ttl-seconds-after-finished; nothing else is left over.
    """
    examples = (
        "hpo-pipe submit kubernetes s3://bucket/studies/first --workers 8 --image registry/train:7 --gpus 1 --cpu 4 "
        "--memory 16Gi --service-account hpo-pipe-worker",
        "hpo-pipe submit kubernetes s3://bucket/studies/first --workers 8 --image registry/train:7 --gpus 1 "
        "--spot --spot-nodes karpenter --node-selector node.kubernetes.io/instance-type=g5.xlarge",
        "hpo-pipe submit kubernetes s3://bucket/studies/first --image registry/train:7 --dry-run",
    )
    options = options_of(TABLE)
    takes = frozenset({"gpus", "hiring", "image", "code", "env", "secret", "tag"})
    repeats_safely = True  # a Job's name is unique
    grace_s: float | None = None

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, with the context and namespace that they stand for here."""
        settings = settings_of(TABLE, given)
        check(settings, plan)
        context, namespace = place(settings["context"] or "", settings["namespace"] or "")
        return {**settings, "context": context, "namespace": namespace}

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Return the one that the scheduler makes something of, as far as it is known before."""
        kind = pairs(settings["node_selector"]).get(INSTANCE_TYPE, "")
        return (Offer(instance_type=kind, lifecycle=lifecycle(plan)),)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return the command that creates the Job, with its manifest."""
        return (_creation(order),)

    def launch(self, order: Order) -> Launched:
        """Create the Job. One of that name is this submission's own."""
        call = _creation(order)
        answer = ask(call.argv, stdin=call.stdin, source=SOURCE)
        if answer.status and "(AlreadyExists)" not in answer.errors:
            refusal = refusal_of(answer)
            if refusal is None:
                raise TargetUnavailable(f"kubectl create: {answer.message}")
            return Launched(refusal=refusal, message=answer.message)
        return Launched(jobs=(order.name,), workers=order.workers)

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Look at the Job and its pods. A Job that is gone has ended."""
        found = find_job(order)
        return look_at(order, found) if found else Look(counts={})

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Delete the Job: its workers get their grace. With `pending_only` withdraw those that have not begun.

        A pod that is deleted comes back, so waiting workers are withdrawn by making the Job smaller, from its last
        index down to the last that has begun; those in between stay, and wait. Where none runs the Job is deleted.
        """
        found = find_job(order)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return 0
        workers = workers_of(order, found)
        counts = Counter(worker.state for worker in workers)
        if pending_only and counts[JobState.RUNNING]:
            return _shrink(order, found, workers)
        alive = counts[JobState.PENDING] + counts[JobState.RUNNING]
        if pending_only and not alive:
            return 0
        how = ("--cascade=foreground", "--wait=false", "--ignore-not-found")
        answer_of(kubectl(order.settings, "delete", "job", order.name, *how), source=SOURCE)
        return alive

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the last lines of each pod that is still there."""
        index = job.removeprefix(f"{order.name}-") if job else ""
        if job and (not index.isdigit() or job == index):
            return
        by_name = {pod.name: pod for pod in pods_of(order, index)}
        if not by_name:
            return
        how = (f"--container={CONTAINER}", f"--tail={lines}", "--prefix", "--ignore-errors")
        argv = kubectl(order.settings, "logs", selector(order, index), *how)
        said = answer_of(argv, source=SOURCE, limit_s=LOGS_LIMIT_S)
        printed: dict[str, list[str]] = {name: [] for name in by_name}
        for line in said.splitlines():  # pod after pod, in any order
            prefix, _, text = line.partition("] ")
            name = prefix.removeprefix("[pod/").partition("/")[0]
            if name in printed:  # others are kubectl's own words, on a pod that has printed nothing yet
                printed[name].append(text)
        for name, found in printed.items():
            if found:
                yield f"==> {order.job_name(by_name[name].index)} ({name}) <=="
                yield from found


TARGET = Kubernetes()


def _creation(order: Order) -> CommandCall:
    argv = kubectl(order.settings, "create", "--filename=-", "--output=name")
    return CommandCall(argv=tuple(argv), stdin=yaml_text(job_manifest(order)))


def _shrink(order: Order, job: Mapping[str, Any], workers: Sequence[Job]) -> int:
    """Take waiting workers off a Job's end; return how many. Nothing is done where the Job has changed meanwhile.

    Kueue would take a Job that changes back into its queue, with the workers that run; and a Job with maxFailedIndexes
    keeps its size.
    """
    total = int(job["spec"].get("completions") or 0)
    waiting = 0
    while waiting < total and workers[total - 1 - waiting].state is JobState.PENDING:
        waiting += 1
    if not waiting or order.settings["queue_name"] or job["spec"].get("maxFailedIndexes") is not None:
        return 0
    size = {"completions": total - waiting, "parallelism": total - waiting}
    change = {"metadata": {"resourceVersion": job["metadata"].get("resourceVersion")}, "spec": size}
    how = ("--type=merge", f"--patch={json.dumps(change)}")
    answer = ask(kubectl(order.settings, "patch", "job", order.name, *how), source=SOURCE)
    if answer.status and not re.search(r"\((Conflict|NotFound)\)| is invalid", answer.errors):
        raise TargetUnavailable(f"kubectl patch: {answer.message}")
    return 0 if answer.status else waiting
