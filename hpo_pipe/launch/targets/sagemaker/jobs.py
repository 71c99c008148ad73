"""Training jobs: found by their names, told, stopped, and their logs. Asks the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.aws import ask, client, code_of, learn, pages, unanswered
from hpo_pipe.launch.cloudwatch import streams, tail
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Job, JobState, Look, TargetUnavailable
from storage_schema.errors import UserError

MAX_JOBS = 1000
"""Told one by one."""
MAX_DESCRIBED = 50
"""Requests of one look for single jobs that a listing does not show yet."""
MAX_REASONS = 10
"""And for why others failed."""
MAX_LOGS = 50
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_PAGE = 100

_RUNNING = ("Training", "Uploading", "Stopping")
_STOPPED = {"MaxRuntimeExceeded": JobState.DONE, "MaxWaitTimeExceeded": JobState.FAILED}
_ENDED = {"Completed": JobState.DONE, "Failed": JobState.FAILED, "Deleting": JobState.CANCELLED}
_ORDER = tuple(JobState)


def listed(asked: Any, order: Order) -> dict[str, Any]:
    """Return what SageMaker lists of a submission's jobs, by name; the newest may be missing for a moment."""
    where = {"NameContains": f"{order.name}-", "MaxResults": _PAGE}
    own = {order.job_name(index) for index in range(order.workers)}
    return {
        job["TrainingJobName"]: job
        for page in pages(asked, "ListTrainingJobs", where)
        for job in page["TrainingJobSummaries"]
        if job["TrainingJobName"] in own
    }


def look(order: Order, jobs: Sequence[str]) -> Look:
    """List the jobs, and ask for those that are not listed yet, and why some failed."""
    asked = client("sagemaker", order.settings)
    found = _found(asked, order, jobs)
    for name in [name for name, job in found.items() if job.state is JobState.FAILED][:MAX_REASONS]:
        told = described(asked, name)
        if told is not None:
            found[name] = _job(told)
    each = sorted(found.values(), key=lambda job: (_ORDER.index(job.state), job.id))
    return Look(counts=Counter(job.state for job in each), jobs=tuple(each[:MAX_JOBS]))


def cancel(order: Order, jobs: Sequence[str], *, pending_only: bool) -> int:
    """Stop what waits or runs, or only what waits."""
    from botocore.exceptions import ClientError

    asked = client("sagemaker", order.settings)
    states = {name: job.state for name, job in _found(asked, order, jobs).items()}
    ends = (JobState.PENDING,) if pending_only else (JobState.PENDING, JobState.RUNNING)
    count = 0
    for name in [name for name, state in states.items() if state in ends]:
        try:
            ask(asked, "StopTrainingJob", {"TrainingJobName": name})
        except ClientError as error:
            if code_of(error) in ("ValidationException", "ResourceNotFound"):  # it has ended meanwhile
                continue
            raise unanswered(asked, "StopTrainingJob", error) from error
        count += 1
    return count


def logs(order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
    """Yield the ends of log streams: the newest of each job."""
    if job is not None and job not in {order.job_name(index) for index in range(order.workers)}:
        raise UserError(f"job {job[:80]!r} is not of this submission: its jobs are {order.job_name(0)} ...")
    watched = client("logs", order.settings)
    for name in [job] if job is not None else [each.id for each in look(order, jobs).jobs][:MAX_LOGS]:
        found = sorted(streams(watched, LOG_GROUP, f"{name}/"))  # each start has a later number
        if found:
            yield f"==> {name} <=="
            yield from tail(watched, LOG_GROUP, found[-1], lines)


def _found(asked: Any, order: Order, jobs: Sequence[str]) -> dict[str, Job]:
    """Return a submission's jobs; those that are known and not listed yet are asked for one by one, within bounds."""
    found = {name: _job(told) for name, told in listed(asked, order).items()}
    unlisted = [name for name in jobs if name not in found]
    for name in unlisted[:MAX_DESCRIBED]:
        told = described(asked, name)
        if told is not None:
            found[name] = _job(told)
    for name in unlisted[MAX_DESCRIBED:]:
        found[name] = Job(id=name, state=JobState.PENDING, detail="not listed yet")
    return found


def described(asked: Any, name: str) -> Any:
    """Return what SageMaker says of one job, or None where there is none; raises TargetUnavailable."""
    from botocore.exceptions import ClientError

    try:
        return learn(asked, "DescribeTrainingJob", {"TrainingJobName": name})
    except TargetUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and code_of(cause) in ("ValidationException", "ResourceNotFound"):
            return None  # "Requested resource not found."
        raise


def _job(told: Mapping[str, Any]) -> Job:
    """Return what SageMaker says of a job, as a listing or a description has it."""
    status, second = told["TrainingJobStatus"], told.get("SecondaryStatus", "")
    if status == "InProgress":
        state = JobState.RUNNING if second in _RUNNING else JobState.PENDING
    elif status == "Stopping":
        state = JobState.RUNNING
    elif status == "Stopped":
        state = _STOPPED.get(second, JobState.CANCELLED)
    else:
        state = _ENDED.get(status, JobState.PENDING)
    billed = told.get("BillableTimeInSeconds")
    words = [
        status if second in ("", status) else f"{status}, {second}",
        told.get("FailureReason", ""),
        "" if billed is None else f"{billed} s billed",
    ]
    return Job(id=told["TrainingJobName"], state=state, detail=": ".join(filter(None, words))[:300])
