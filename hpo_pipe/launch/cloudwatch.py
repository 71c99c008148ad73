"""The ends of log streams in CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpo_pipe.launch.aws import ask, code_of, unanswered
from storage_schema.terminal import one_line

MAX_LINES = 10_000
"""Of one stream: what one request returns at most."""
_MAX_PAGES = 5
"""Newer pages of a stream may be empty."""


def tail(logs: Any, group: str, stream: str, lines: int) -> list[str]:
    """Return the last lines of a stream; none where nothing was written yet.

    Args:
        logs: a client of CloudWatch Logs.
        group: the log group.
        stream: within it.
        lines: how many, at most MAX_LINES.

    Raises:
        TargetUnavailable: the service cannot be asked, or does not let us.
    """
    found: list[str] = []
    where = {"logGroupName": group, "logStreamName": stream, "startFromHead": False}
    token: dict[str, str] = {}
    for _ in range(_MAX_PAGES):
        answer = _answer(logs, {**where, "limit": min(max(1, lines), MAX_LINES), **token})
        if answer is None:
            break
        found = [one_line(event.get("message", "").rstrip()) for event in answer.get("events", [])] + found
        back = answer.get("nextBackwardToken")
        if len(found) >= lines or not back or {"nextToken": back} == token:
            break
        token = {"nextToken": back}
    return found[-lines:]


def streams(logs: Any, group: str, prefix: str) -> Iterator[str]:
    """Yield the names of streams that begin with `prefix`: the first page."""
    answer = _answer(logs, {"logGroupName": group, "logStreamNamePrefix": prefix}, "DescribeLogStreams")
    for stream in (answer or {}).get("logStreams", []):
        yield stream["logStreamName"]


def _answer(logs: Any, parameters: dict[str, Any], operation: str = "GetLogEvents") -> Any:
    from botocore.exceptions import ClientError

    try:
        return ask(logs, operation, parameters)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise unanswered(logs, operation, error) from error
