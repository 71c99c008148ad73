"""A provider is asked within a deadline, and no longer."""

from __future__ import annotations

import time

import pytest

from hpo_pipe.launch import aws, lambda_handler
from hpo_pipe.launch.hurry import REQUEST_S, asking_until, check_time
from hpo_pipe.launch.lambda_scaling import BEGIN_S, ROUND_S
from hpo_pipe.launch.target import TargetUnavailable
from tests.servers.scripted_aws import Refused, scripted
from tests.unit.launch.orders import in_region

HERE = {"region": "eu-west-1", "profile": None}
PAUSE_S = 1.0
"""The longest before a second try (botocore's standard mode)."""


@pytest.mark.parametrize("attempts", [None, 1, 4])
def test_a_request_with_a_deadline_is_over_before_a_function_is(
    attempts: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_region(monkeypatch)
    with asking_until(lambda: 1.0):
        config = aws.client("batch", HERE, attempts=attempts).meta.config
    tries = config.retries["total_max_attempts"]
    assert tries == (1 if attempts == 1 else 2)
    longest = tries * (config.connect_timeout + config.read_timeout) + (tries - 1) * PAUSE_S
    assert longest <= REQUEST_S
    assert aws.client("batch", HERE).meta.config.read_timeout == aws.READ_S, (
        "behind the block all is as before"
    )


def test_nothing_is_asked_once_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [1.0, 0.0]
    with scripted("batch", monkeypatch) as server:
        server.answers("ListJobs", {"jobSummaryList": [], "nextToken": "more"})
        with (
            asking_until(lambda: left.pop(0)),
            pytest.raises(TargetUnavailable, match="ListJobs: not asked any more: the time is up"),
        ):
            list(aws.pages(aws.client("batch", HERE), "ListJobs", {"jobQueue": "gpus"}))
        assert len(server.requests("ListJobs")) == 1
    check_time("ListJobs")


def test_ticks_leave_a_round_the_time_that_it_needs() -> None:
    assert lambda_handler.RESERVE_S + ROUND_S >= REQUEST_S + 2 * BEGIN_S


def test_asked_too_fast_it_does_not_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted("batch", monkeypatch) as server, asking_until(lambda: 1.0):
        server.answers("ListJobs", Refused("TooManyRequestsException", 429))
        began = time.monotonic()
        with pytest.raises(TargetUnavailable, match="TooManyRequests"):
            aws.learn(aws.client("batch", HERE), "ListJobs", {"jobQueue": "gpus"})
        assert len(server.requests("ListJobs")) == 2 and time.monotonic() - began < 5
