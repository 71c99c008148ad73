"""What an attempt's end means: done, failed, or given back (PROTOCOL.md, 5.7 and 5.9). Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from storage_schema.errors import nearest
from storage_schema.records import Link, LinkKind
from storage_schema.trial_env import EXIT_INTERRUPTED
from workers.ending import Ended

MAX_UNASKED = 10
"""So many exits with status 75 in a row, unasked and without progress, are a failure."""

UNASKED = f"the trial interrupted itself (exit status {EXIT_INTERRUPTED})"
NOTHING_REPORTED = (
    "nothing (trial.report of hpo_pipe.trial reports; the study's metric.pattern reads what is printed)"
)
MAX_REASON = 2000
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How an attempt went."""

    ended: Ended
    interrupted: bool
    """The worker asked the trial to stop because it is itself interrupted."""
    terminated: bool
    """It had to send a signal."""
    overran: bool
    """It trained on past `to`, and was told to stop."""
    to: int | None
    """None without a resource."""
    reached: int
    """Units of training done, by report or by the checkpoint that it started from."""
    resource_name: str
    objective: str
    measured: bool
    """The objective was reported where it counts."""
    elsewhere: int | None
    """Where it was reported and does not count."""
    metrics: Collection[str]
    """Names of all metrics reported."""
    complaints: Sequence[str]
    """On unreadable reports and unusable checkpoints."""
    unasked_before: int
    """Exits with status 75 just before this attempt, in a row, unasked and without progress since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The link that closes the chain, or opens it again."""

    kind: LinkKind
    reason: str = ""
    final: bool = False
    """fail: trying again would end the same way."""


def outcome(course: Course) -> Outcome:
    """Return what becomes of a spec whose trial has exited."""
    if course.overran and course.measured:
        reason = f"ended by the worker: it trained on past {course.resource_name} {course.to}"
        return Outcome(kind=LinkKind.DONE, reason=reason)
    if course.ended.status == 0:
        return _exited_well(course)
    if course.interrupted:
        return Outcome(kind=LinkKind.RELEASE, reason="interrupted")
    if course.ended.status == EXIT_INTERRUPTED:
        if course.unasked_before + 1 < MAX_UNASKED:
            return Outcome(kind=LinkKind.RELEASE, reason=UNASKED)
        reason = f"{UNASKED} {MAX_UNASKED} times in a row without progress"
        return Outcome(kind=LinkKind.FAIL, reason=reason)
    return Outcome(kind=LinkKind.FAIL, reason=_with_complaints(course.ended.reason, course))


def unasked_before(chain: Sequence[Link], resource: int) -> int:
    """Count the attempts at the end of a chain that gave themselves back and had started from `resource` too."""
    count = 0
    for claim, end in zip(chain[-2::-2], chain[::-2], strict=False):
        started = claim.checkpoint.resource if claim.checkpoint else 0
        if end.kind is not LinkKind.RELEASE or end.reason != UNASKED or started != resource:
            break
        count += 1
    return count


def words(link: Link) -> str:
    """Return a closing link as one line of talk."""
    rest = f": {link.reason}" if link.reason else ""
    if link.kind is LinkKind.FAIL:
        rest += f" ({link.retries_left} retries left)"
    return f"{link.kind} at {link.resource} after {link.wall_s:.1f} s{rest}"


def _exited_well(course: Course) -> Outcome:
    whole = course.reached >= course.to if course.to is not None else not course.terminated
    if course.interrupted and not (whole and course.measured):
        return Outcome(kind=LinkKind.RELEASE, reason="interrupted")
    if not course.measured:
        return Outcome(kind=LinkKind.FAIL, reason=_never_reported(course), final=True)
    if course.to is not None and course.reached < course.to:
        reason = f"exit status 0 after {course.resource_name} {course.reached} of {course.to}"
        return Outcome(kind=LinkKind.DONE, reason=reason)
    return Outcome(kind=LinkKind.DONE)


def _never_reported(course: Course) -> str:
    if course.elsewhere is not None:
        reason = (
            f"exit status 0, but {course.objective!r} was only reported outside of this piece of training, "
            f"at {course.resource_name} {course.elsewhere} (wanted: up to {course.to})"
        )
    else:
        names = ", ".join(sorted(course.metrics)[:20]) or NOTHING_REPORTED
        near = nearest(course.objective, course.metrics)
        reason = f"exit status 0, but the objective {course.objective!r} was never reported{near}; reported: {names}"
    return _with_complaints(reason, course)


def _with_complaints(reason: str, course: Course) -> str:
    return "; ".join([reason, *course.complaints[:3]])[:MAX_REASON]
