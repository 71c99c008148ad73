"""Jobs of AWS Batch: found by name, told one by one, ended, and their logs. Asks the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from hpo_pipe.launch.aws import client, learn, pages
from hpo_pipe.launch.cloudwatch import tail
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Job, JobState, Look
from storage_schema.errors import UserError

MAX_JOBS = 1000
"""Told one by one."""
MAX_LOGS = 50
"""Streams that are read where all are asked for."""
LOG_GROUP = "/aws/batch/job"
ENDED_BY_US = "hpo-pipe submit cancel"
_DESCRIBED = 100
"""Jobs of one DescribeJobs request."""

STATES: Mapping[str, JobState] = {
    "RUNNING": JobState.RUNNING,
    "STARTING": JobState.PENDING,
    "RUNNABLE": JobState.PENDING,
    "PENDING": JobState.PENDING,
    "SUBMITTED": JobState.PENDING,
    "FAILED": JobState.FAILED,
    "SUCCEEDED": JobState.DONE,
}
"""Batch's word to ours; those that people want to see come first."""
_NOT_BEGUN = ("SUBMITTED", "PENDING", "RUNNABLE")


def find(batch: Any, order: Order) -> str | None:
    """Return the id of a submission's job by its name, or None; Batch keeps ended ones for a week.

    Names need not be unique: it is the oldest one, so that all who look go by the same.
    """
    where = {
        "jobQueue": order.settings["job_queue"],
        "filters": [{"name": "JOB_NAME", "values": [order.name]}],  # goes for all states
    }
    found = [
        (job.get("createdAt", 0), job["jobId"])
        for page in pages(batch, "ListJobs", where)
        for job in page["jobSummaryList"]
        if job["jobName"] == order.name and ":" not in job["jobId"]
    ]
    return min(found)[1] if found else None


def look(order: Order, jobs: Sequence[str]) -> Look:
    """Look at a plain job, or at an array and its children."""
    batch = client("batch", order.settings)
    parent = _parent(batch, order, jobs)
    if parent is None:
        return Look(counts={})
    if "size" not in parent.get("arrayProperties", {}):
        job = _job(parent)
        return Look(counts={job.state: 1}, jobs=(job,))
    summary = parent["arrayProperties"].get("statusSummary", {})
    told = {status: summary.get(status, 0) for status in STATES}
    counts = Counter[JobState]()
    for status, count in told.items():
        counts[STATES[status]] += count
    counts[STATES.get(parent["status"], JobState.PENDING)] += max(
        0, parent["arrayProperties"]["size"] - sum(told.values())
    )  # right after the request nothing is told of most
    children = tuple(islice(_children(batch, parent["jobId"], [s for s in told if told[s]]), MAX_JOBS))
    cancelled = sum(child.state is JobState.CANCELLED for child in children)
    counts[JobState.CANCELLED] += cancelled
    counts[JobState.FAILED] -= cancelled
    return Look(counts={state: count for state, count in counts.items() if count > 0}, jobs=children)


def cancel(order: Order, jobs: Sequence[str], *, pending_only: bool) -> int:
    """End what has not ended, or only what has not begun."""
    batch = client("batch", order.settings)
    parent = _parent(batch, order, jobs)
    if parent is None or STATES.get(parent["status"], JobState.PENDING) in (JobState.DONE, JobState.FAILED):
        return 0
    array = "size" in parent.get("arrayProperties", {})
    if not pending_only:
        count = look(order, [parent["jobId"]]).alive if array else 1
        learn(batch, "TerminateJob", {"jobId": parent["jobId"], "reason": ENDED_BY_US})
        return count
    if array:  # of the parent it would also end those that run
        waiting = [job for status in _NOT_BEGUN for job in _listed(batch, parent["jobId"], status)]
        ids = [job["jobId"] for job in waiting]
    else:
        ids = [parent["jobId"]] if parent["status"] in _NOT_BEGUN else []
    for name in ids:
        learn(batch, "CancelJob", {"jobId": name, "reason": ENDED_BY_US})
    return len(ids)


def logs(order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
    """Yield the ends of log streams: the newest attempt of each job that ever began."""
    batch = client("batch", order.settings)
    parent = _parent(batch, order, jobs)
    if parent is None:
        return
    watched = client("logs", order.settings)
    for described in _described(batch, _asked(batch, parent, job)):
        container = described.get("container") or {}
        stream = container.get("logStreamName")
        if stream:
            given = (container.get("logConfiguration") or {}).get("options") or {}
            yield f"==> {described['jobId']} <=="
            yield from tail(watched, given.get("awslogs-group", LOG_GROUP), stream, lines)


def _asked(batch: Any, parent: Mapping[str, Any], job: str | None) -> list[str]:
    """Return the ids of the jobs whose logs are wanted."""
    own: str = parent["jobId"]
    if job is not None:
        if job != own and not job.startswith(f"{own}:"):
            raise UserError(
                f"job {job[:80]!r} is not of this submission: its jobs are {own} and {own}:0, {own}:1 ..."
            )
        return [job]
    if "size" not in parent.get("arrayProperties", {}):
        return [own]
    begun = (status for status in STATES if status not in _NOT_BEGUN)
    return [job.id for job in islice(_children(batch, own, begun), MAX_LOGS)]


def _parent(batch: Any, order: Order, jobs: Sequence[str]) -> Any:
    """Return the description of a submission's job, or None where Batch knows none (any more)."""
    name = jobs[0] if jobs else find(batch, order)
    return next(_described(batch, [name]), None) if name else None


def _described(batch: Any, ids: Sequence[str]) -> Iterator[Any]:
    for start in range(0, len(ids), _DESCRIBED):
        yield from learn(batch, "DescribeJobs", {"jobs": list(ids[start : start + _DESCRIBED])})["jobs"]


def _listed(batch: Any, parent: str, status: str) -> Iterator[Any]:
    for page in pages(batch, "ListJobs", {"arrayJobId": parent, "jobStatus": status}):
        yield from page["jobSummaryList"]


def _children(batch: Any, parent: str, statuses: Any) -> Iterator[Job]:
    for status in statuses:
        yield from map(_job, _listed(batch, parent, status))


def _job(told: Mapping[str, Any]) -> Job:
    """Return what Batch says of one job; a job that waits says why in its reason."""
    status = told["status"]
    container = told.get("container") or {}
    state = STATES.get(status, JobState.PENDING)
    reason = told.get("statusReason") or ""
    if state is JobState.FAILED and reason.startswith(ENDED_BY_US):
        state = JobState.CANCELLED
    code = container.get("exitCode")
    words = [status, reason, container.get("reason") or "", "" if code is None else f"exit code {code}"]
    return Job(id=told["jobId"], state=state, detail=": ".join(word for word in words if word)[:300])
