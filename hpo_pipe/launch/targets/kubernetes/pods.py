"""How a Job's workers are, one by one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Job, JobState, Look, TargetUnavailable
from hpo_pipe.launch.targets.kubernetes.cluster import rows, selector
from storage_schema.terminal import one_line

MAX_JOBS = 1000
_FIELDS = (
    ".metadata.name",
    r".metadata.annotations.batch\.kubernetes\.io/job-completion-index",
    ".metadata.creationTimestamp",
    ".status.phase",
    ".spec.nodeName",
    ".status.reason",
    ".status.containerStatuses[0].state.terminated.reason",
    ".status.containerStatuses[0].state.terminated.exitCode",
    ".status.containerStatuses[0].state.waiting.reason",
    ".status.containerStatuses[0].state.waiting.message",
    '.status.conditions[?(@.type=="PodScheduled")].reason',
    '.status.conditions[?(@.type=="PodScheduled")].message',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One start of a worker."""

    name: str
    index: int
    created: str
    phase: str
    node: str
    ended: str
    """Why it ended: of the pod or its container, with the exit code."""
    waits: str
    """Why it does not begin."""

    @property
    def over(self) -> bool:
        """Whether it has ended; one that is being deleted has not."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def detail(self) -> str:
        """Return the cluster's own words."""
        where = f"on {self.node}" if self.node else ""
        why = self.ended if self.over else self.waits
        return one_line(" ".join(text for text in (self.phase, why, where) if text))


def pods_of(order: Order, index: str = "") -> list[Pod]:
    """Return a submission's pods, or one worker's, oldest first; raises TargetUnavailable."""
    found = [_pod(*row) for row in rows(order.settings, "pods", _FIELDS, selector(order, index))]
    known = [pod for pod in found if pod is not None]
    return sorted(known, key=lambda pod: (pod.index, pod.created, pod.name))


def look_at(order: Order, job: Mapping[str, Any]) -> Look:
    """Tell how a Job's workers are; raises TargetUnavailable."""
    found = workers_of(order, job)
    return Look(counts=Counter(one.state for one in found), jobs=tuple(found[:MAX_JOBS]))


def workers_of(order: Order, job: Mapping[str, Any]) -> list[Job]:
    """Return a Job's workers by index, withdrawn ones included; raises TargetUnavailable."""
    newest = {pod.index: pod for pod in pods_of(order)}
    status, total = job.get("status") or {}, int(job["spec"].get("completions") or 0)
    done, failed = (
        set(indexes(str(status.get(name) or ""), total)) for name in ("completedIndexes", "failedIndexes")
    )
    rest = _rest(job)
    without = "" if rest is not JobState.PENDING else _why_no_pod(order, job, total - len(newest))
    found = []
    for index in range(max(order.workers, total)):
        pod = newest.get(index)
        if index >= total:
            state = JobState.CANCELLED  # withdrawn: see cancel
        elif index in done:
            state = JobState.DONE
        elif index in failed:
            state = JobState.FAILED
        else:
            state = _state(pod, rest)
        detail = pod.detail if pod else without if state is JobState.PENDING else ""
        found.append(Job(id=order.job_name(index), state=state, detail=detail))
    return found


def indexes(text: str, below: int) -> Iterator[int]:
    """Yield what Kubernetes writes as ``1,3-5``."""
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            yield from range(int(first), min(int(last or first), below - 1) + 1)


def _pod(*row: str) -> Pod | None:
    name, index, created, phase, node, reason, ended, status, waiting, said, unscheduled, why = row
    if not index.isdigit():
        return None
    because = " ".join(text for text in (reason, ended, f"exit {status}" if status else "") if text)
    waits = (waiting, said) if waiting else ("" if unscheduled in ("", "PodScheduled") else unscheduled, why)
    return Pod(
        name=name,
        index=int(index),
        created=created,
        phase=phase,
        node=node,
        ended=because,
        waits=": ".join(text for text in waits if text),
    )


def _state(pod: Pod | None, rest: JobState) -> JobState:
    if pod is not None and pod.phase == "Succeeded":
        return JobState.DONE
    if pod is None or pod.phase == "Failed":
        return rest
    if pod.phase == "Pending":
        return JobState.PENDING if rest is JobState.PENDING else rest
    return JobState.RUNNING


def _rest(job: Mapping[str, Any]) -> JobState:
    """Return how workers are that have no living pod: whether the Job will start one."""
    if job["metadata"].get("deletionTimestamp"):
        return JobState.CANCELLED
    conditions = (job.get("status") or {}).get("conditions") or []
    ended = {one.get("type") for one in conditions if one.get("status") == "True"}
    return JobState.FAILED if ended & {"Failed", "FailureTarget", "Complete"} else JobState.PENDING


def _why_no_pod(order: Order, job: Mapping[str, Any], count: int) -> str:
    """Return why so many workers have no pod at all, as far as this user may see it."""
    if count <= 0:
        return ""
    if job["spec"].get("suspend"):
        queue = order.settings["queue_name"]
        return f"suspended: waits in queue {queue}" if queue else "suspended"
    with contextlib.suppress(TargetUnavailable):
        of = f"involvedObject.kind=Job,involvedObject.name={order.name},reason=FailedCreate"
        events = rows(order.settings, "events", (".lastTimestamp", ".message"), f"--field-selector={of}")
        if events:
            return one_line(max(events)[1])[:500]
    return "no pod yet"
