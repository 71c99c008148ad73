"""Machines of EC2: found by their tag, told, ended, and what they printed. Asks the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.aws import ask, client, code_of, learn, pages, unanswered
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Job, JobState, Look
from hpo_pipe.launch.targets.ec2.request import TAG
from storage_schema.errors import UserError
from storage_schema.terminal import one_line

MAX_JOBS = 1000
"""Told one by one."""
MAX_LOGS = 50
_PAGE = 1000
_ENDED_AT_ONCE = 1000
"""Machines of one TerminateInstances request."""

_STATES: Mapping[str, JobState] = {
    "pending": JobState.PENDING,
    "running": JobState.RUNNING,
    "shutting-down": JobState.RUNNING,  # its worker gives its trials back
    "stopping": JobState.RUNNING,
    "stopped": JobState.CANCELLED,
}
_REASONS: Mapping[str, tuple[JobState, str]] = {
    "Client.InstanceInitiatedShutdown": (JobState.DONE, "it ended itself"),
    "Client.UserInitiatedShutdown": (JobState.CANCELLED, "it was ended"),
    "Server.SpotInstanceTermination": (JobState.FAILED, "interrupted: EC2 took the spot machine back"),
    "Server.SpotInstanceShutdown": (JobState.FAILED, "interrupted: EC2 took the spot machine back"),
}
"""Why a machine has ended. How its worker did is in the study; all other reasons are EC2's failures."""
_ORDER = tuple(JobState)


def listed(asked: Any, order: Order) -> dict[str, Any]:
    """Return what EC2 lists of a submission's machines, by id; an hour after its end it forgets a machine."""
    where = {"Filters": [{"Name": f"tag:{TAG}", "Values": [order.name]}], "MaxResults": _PAGE}
    return {
        machine["InstanceId"]: machine
        for page in pages(asked, "DescribeInstances", where)
        for reservation in page.get("Reservations", [])
        for machine in reservation.get("Instances", [])
    }


def look(order: Order, jobs: Sequence[str]) -> Look:
    """List the machines; those that EC2 has forgotten have ended."""
    found = {name: _job(told) for name, told in listed(client("ec2", order.settings), order).items()}
    gone = (
        Job(id=name, state=JobState.DONE, detail="no longer listed") for name in jobs if name not in found
    )
    each = sorted([*found.values(), *gone], key=lambda job: (_ORDER.index(job.state), job.id))
    return Look(counts=Counter(job.state for job in each), jobs=tuple(each[:MAX_JOBS]))


def cancel(order: Order, *, pending_only: bool) -> int:
    """End what has not ended, or only what has not booted. The system is shut down, so workers get SIGTERM."""
    asked = client("ec2", order.settings)
    ends = ("pending",) if pending_only else ("pending", "running", "stopping", "stopped")
    found = [name for name, told in listed(asked, order).items() if told["State"]["Name"] in ends]
    for start in range(0, len(found), _ENDED_AT_ONCE):
        learn(asked, "TerminateInstances", {"InstanceIds": found[start : start + _ENDED_AT_ONCE]})
    return len(found)


def logs(order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
    """Yield the ends of what machines wrote on their consoles: at most 64 KB of each, workers' output included."""
    asked = client("ec2", order.settings)
    found = dict.fromkeys([*listed(asked, order), *jobs])
    if job is not None and job not in found:
        raise UserError(
            f"machine {job[:80]!r} is not of this submission: its machines are {', '.join(found)}"
        )
    for name in [job] if job is not None else list(found)[:MAX_LOGS]:
        text = _console(asked, name)
        if text:
            yield f"==> {name} <=="
            yield from (one_line(line) for line in text.splitlines()[-lines:])


def _console(asked: Any, name: str) -> str:
    """Return a machine's console as it is now, or where its kind cannot tell that, as of its last start or end."""
    from botocore.exceptions import ClientError

    for latest in ({"Latest": True}, {}):
        try:
            return str(ask(asked, "GetConsoleOutput", {"InstanceId": name, **latest}).get("Output", ""))
        except ClientError as error:
            code = code_of(error)
            if code == "InvalidInstanceID.NotFound":
                return ""
            if not latest or code not in ("UnsupportedOperation", "InvalidParameterCombination"):
                raise unanswered(asked, "GetConsoleOutput", error) from error
    return ""


def _job(told: Mapping[str, Any]) -> Job:
    """Return what EC2 says of a machine."""
    state = told["State"]["Name"]
    reason = told.get("StateReason") or {}
    code = reason.get("Code", "")
    meaning, words = _STATES.get(state), ""
    if meaning is None:
        meaning, words = _REASONS.get(code, (JobState.FAILED, ""))
    elif state == "stopped":
        words = "its disk still costs; submit cancel ends it"
    where = " in ".join(
        filter(None, (told.get("InstanceType"), (told.get("Placement") or {}).get("AvailabilityZone")))
    )
    said = [where, state, words, reason.get("Message") or code]
    return Job(id=told["InstanceId"], state=meaning, detail=one_line(": ".join(filter(None, said)))[:300])
