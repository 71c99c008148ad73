"""The coordinator's Lambda function scales workers, too: an invocation's round of :mod:`hpo_pipe.launch.reconcile`.

Environment: ``HPO_PIPE_MAX_WORKERS``, how many workers there may be; without it the function does not scale.
``HPO_PIPE_MIN_WORKERS``: how many while the study is under way (0).
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from hpo_pipe.coordinator.world import Say
from hpo_pipe.launch import find_target
from hpo_pipe.launch.desk import Desk
from hpo_pipe.launch.hurry import REQUEST_S, asking_until
from hpo_pipe.launch.opening import open_desk
from hpo_pipe.launch.reconcile import Bounds, NothingSubmitted, Reconciler
from hpo_pipe.launch.target import Target, TargetUnavailable
from hpo_pipe.study import OpenStudy
from storage_schema.clock import SystemClock
from storage_schema.errors import HpoPipeError, UserError
from storage_schema.records.submission import MAX_WORKERS
from storage_schema.store import open_store

MOST, LEAST = "HPO_PIPE_MAX_WORKERS", "HPO_PIPE_MIN_WORKERS"
ROUND_S = 35.0
"""Of the function's time: kept from ticking for a round, and for the last answer to it."""
BEGIN_S = 8.0
"""With less time left no provider is turned to any more: a launch, once recorded, should also be made."""


class OutOfTime(HpoPipeError):
    """The round was broken off; the next one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What came of a round."""

    said: str
    """For people: its line, or why there is none."""
    open: str
    """Why somebody has to come back: what may still run or wait; empty where every submission is over."""


def bounds_told(environment: Mapping[str, str]) -> Bounds | None:
    """Return how many workers there may be, or None where the function does not scale.

    Raises:
        UserError: no such number.
    """
    if not environment.get(MOST):
        if environment.get(LEAST):
            raise UserError(f"{LEAST} is set without {MOST}")
        return None
    most, least = _count(environment, MOST), _count(environment, LEAST)
    if least > most:
        raise UserError(f"{LEAST} is {least}, expected at most {MOST}, {most}")
    return Bounds(least=least, most=most)


def scale(url: str, bounds: Bounds, seconds: float, say: Say) -> Scaled:
    """Do one round; never raises.

    Args:
        url: the study URL.
        bounds: of the number of workers.
        seconds: until the function has to be done with it. Nothing is asked in the last
            :data:`~hpo_pipe.launch.hurry.REQUEST_S` of them, which one request may take.
        say: takes one line of talk.
    """
    try:
        return _round(url, bounds, seconds, say)
    except (HpoPipeError, TargetUnavailable) as error:
        problem = f"failed: {error}"
    except Exception as error:
        say(traceback.format_exc())
        problem = f"failed: {type(error).__name__}: {error}"
    say(f"scaling {problem}")
    return Scaled(said=problem, open="what runs or waits is not known")


def _round(url: str, bounds: Bounds, seconds: float, say: Say) -> Scaled:
    clock = SystemClock()
    until = clock.monotonic() + seconds - REQUEST_S

    def left() -> float:
        return until - clock.monotonic()

    def find(name: str) -> Target:
        if left() < BEGIN_S:
            raise OutOfTime("the function's time is nearly up; the next invocation goes on")
        return find_target(name)

    if left() < BEGIN_S:
        raise OutOfTime("no time was left; the next invocation does it")
    store = open_store(url)
    desk = open_desk(store, say, limit_s=left())
    with asking_until(left):
        try:
            found = Reconciler(desk, OpenStudy(store).look, find, bounds).run()
        except NothingSubmitted as error:
            return Scaled(said=str(error), open="")
    for note in found.notes:
        say(f"scaling: {note}")
    if found.started or found.cancelled:
        say(f"scaling: {found.line()}")
    return Scaled(said=found.line(), open=_open(desk))


def _open(desk: Desk) -> str:
    """Return what may still run or wait, in words.

    Also what runs counts: a worker whose machine is taken back waits for another one.
    """
    known = desk.submissions.open()
    if not known:
        return ""
    told = ", ".join(f"{one.number} ({one.order.target})" for one in known[:10])
    return f"submission {told}{', ...' if len(known) > 10 else ''} has not ended"


def _count(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name) or "0"
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_WORKERS)) else -1
    if not 0 <= count <= MAX_WORKERS:
        raise UserError(f"{name}: {text[:40]!r}: expected a number of workers, 0 to {MAX_WORKERS}")
    return count
