"""The coordinator as a Lambda function: an invocation is a tick, as ``hpo-pipe coordinator --once`` makes one.

Any number may run at once, be repeated, or be cut off: that the log takes one author's entry is all that is needed.

Environment: ``HPO_PIPE_STUDY``, the study URL. ``HPO_PIPE_TICK_FOR``: seconds for which an invocation goes on ticking,
as far as the function's time allows (0, the default: one tick). ``HPO_PIPE_SCHEDULE``: ``name`` or ``group/name`` of
the EventBridge schedule that is switched off when the study has ended; without it nothing is.

With ``HPO_PIPE_MAX_WORKERS`` an invocation also scales workers, after its ticks
(:mod:`~hpo_pipe.launch.lambda_scaling`); the schedule then stays on until every submission is over, so that nothing is
left behind that waits and is paid.
"""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from hpo_pipe.coordinator.loop import coordinate_for
from hpo_pipe.coordinator.world import Say
from hpo_pipe.launch.lambda_event import read_event
from hpo_pipe.launch.lambda_scaling import ROUND_S, bounds_told, scale
from hpo_pipe.launch.own_schedule import schedule_named, switch_off
from storage_schema.codec import Json
from storage_schema.errors import HpoPipeError, StudyNotFound, UserError
from storage_schema.redaction import Redactor, secret_values

RESERVE_S = 15.0
"""Of the function's time: kept from going on ticking, for the tick under way and for the schedule."""
MAX_TICK_FOR_S = 900
"""The longest that a function may run."""


class Context(Protocol):
    """What is used of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends this invocation."""


class CoordinatorFailed(Exception):
    """An invocation failed; the message holds no secrets. The next one begins anew."""


def handler(event: object, context: Context) -> dict[str, Json]:
    """Tick; return the study, whether it was ticked, whether it has ended, a note for people, and what scaling did.

    Raises:
        CoordinatorFailed: with the reason. Whoever invoked it may simply do so again.
    """
    environment = dict(os.environ)  # noqa: TID251 (an edge)
    redactor = Redactor(secret_values(environment))

    def say(line: str) -> None:
        print(redactor.text(line), flush=True)

    try:
        answer = invoked(event, context, environment, say)
    except HpoPipeError as error:
        raise CoordinatorFailed(redactor.text(f"{type(error).__name__}: {error}")) from None
    except Exception as error:
        say(traceback.format_exc())
        raise CoordinatorFailed(redactor.text(f"{type(error).__name__}: {error}")) from None
    return {name: redactor.text(value) if isinstance(value, str) else value for name, value in answer.items()}


def invoked(event: object, context: Context, environment: Mapping[str, str], say: Say) -> dict[str, Json]:
    """Do what :func:`handler` does, with an environment and talk that are given."""
    schedule = environment.get("HPO_PIPE_SCHEDULE", "")
    place = schedule_named(schedule) if schedule else None
    asked_s = _tick_for(environment.get("HPO_PIPE_TICK_FOR", ""))
    bounds = bounds_told(environment)
    told = read_event(event, environment.get("HPO_PIPE_STUDY", ""))
    answer: dict[str, Json] = {"study": told.study, "ticked": False, "ended": False, "note": told.ignored}
    if told.ignored:
        return answer
    try:
        left_s = _left_s(context) - RESERVE_S - (ROUND_S if bounds else 0.0)
        ended = coordinate_for(told.study, max(0.0, min(asked_s, left_s)), say=say)
    except StudyNotFound:  # a stack stands before its first study does
        return answer | {"note": "no study lies there yet"}
    answer |= {"ticked": True, "ended": ended}
    open_still = ""
    if bounds is not None:
        scaled = scale(told.study, bounds, _left_s(context), say)
        answer["scaled"], open_still = scaled.said, scaled.open
    if ended and place is not None:
        group, name = place
        answer["note"] = (
            f"schedule {group}/{name} stays on: {open_still}"
            if open_still
            else switch_off(_scheduler(), *place)
        )
        say(str(answer["note"]))
    return answer


def _left_s(context: Context) -> float:
    return context.get_remaining_time_in_millis() / 1000


def _tick_for(text: str) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_TICK_FOR_S:
        raise UserError(f"HPO_PIPE_TICK_FOR: {text[:40]!r}: expected seconds, 0 to {MAX_TICK_FOR_S}")
    return seconds


def _scheduler() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "scheduler", config=Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    )
