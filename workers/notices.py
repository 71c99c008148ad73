"""Notices of EC2 that an instance goes away, or soon may (PROTOCOL.md, 5.9): asked for every few seconds, in a thread.

The instance's metadata has ``spot/instance-action`` two minutes before a spot instance is taken, and
``events/recommendations/rebalance`` when that becomes likely, which may be much earlier, or at the same moment.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from storage_schema.clock import Clock
from storage_schema.graces import GRACES_S
from workers.imds import Answer, Metadata, MetadataUnavailable
from workers.interruption import Interruption

POLL_S = 5.0
"""What AWS recommends."""
LEAST_LEFT_S = 5.0
"""A time that has passed is believed no more than this: clocks differ, and a hibernation may take its time."""

INSTANCE_ACTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
ACTIONS = ("terminate", "stop", "hibernate")
IGNORE, CHECKPOINT, DRAIN = "ignore", "checkpoint", "drain"
ON_REBALANCE = (IGNORE, CHECKPOINT, DRAIN)

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


class Notices:
    """Looks for notices and passes them on.

    Args:
        metadata: of this instance.
        interruption: takes them.
        clock: the worker's.
        say: takes talk.
        on_rebalance: one of :data:`ON_REBALANCE`.
        certain: whether it is known that there is such a service; if not, one vain try ends the looking.
    """

    def __init__(
        self,
        metadata: Metadata,
        interruption: Interruption,
        clock: Clock,
        say: Callable[[str], None],
        *,
        on_rebalance: str = CHECKPOINT,
        certain: bool = True,
    ) -> None:
        self._metadata = metadata
        self._interruption = interruption
        self._clock = clock
        self._say = say
        self._certain = certain
        self._rebalance_wanted = on_rebalance != IGNORE
        self._drain = on_rebalance == DRAIN
        self._answered = False
        self._said: set[str] = set()

    def run(self) -> None:
        """Look until there is nothing more to look for. A thread's body; never raises."""
        never = threading.Event()
        while self.look():
            self._clock.wait(never, POLL_S)

    def look(self) -> bool:
        """Ask once; tell whether to ask again."""
        try:
            over = self._instance_action()
            if not over and self._rebalance_wanted:
                self._rebalance()
        except MetadataUnavailable as error:
            if error.absent and not self._certain and not self._answered:
                return False  # it was a guess, from the machine's maker
            self._say_once(f"notices of EC2 cannot be read now: {error}")
            return True
        self._answered = True
        return not over

    def _instance_action(self) -> bool:
        answer = self._metadata.get(INSTANCE_ACTION)
        if answer is None:
            return False
        found = _fields(answer.text)
        action, at = found.get("action"), _time(found.get("time"))
        if action not in ACTIONS or at is None:
            self._say_once(f"a notice of EC2 that cannot be read: {answer.text[:200]!r}")
            return False
        left_s = self._left_s(at, answer)
        self._interruption.notice(f"EC2 spot notice: {action} in {left_s:.0f} s", left_s)
        return True

    def _left_s(self, at: datetime, answer: Answer) -> float:
        """Return the seconds until `at`, by the clock of who sent it."""
        now = answer.date or datetime.fromtimestamp(self._clock.now(), UTC)
        if now.tzinfo is None:
            now = now.replace(tzinfo=UTC)
        return min(max((at - now).total_seconds(), LEAST_LEFT_S), GRACES_S["ec2"])

    def _rebalance(self) -> None:
        answer = self._metadata.get(REBALANCE)
        if answer is None:
            return
        if _time(_fields(answer.text).get("noticeTime")) is None:
            self._say_once(f"a recommendation of EC2 that cannot be read: {answer.text[:200]!r}")
            return
        self._rebalance_wanted = False
        if self._drain:
            self._interruption.draining = "EC2 recommends to rebalance"
        else:
            self._say("EC2 recommends to rebalance: trials are asked to save, and go on")
            self._interruption.saves += 1

    def _say_once(self, line: str) -> None:
        if line not in self._said and len(self._said) < 20:
            self._said.add(line)
            self._say(line)


def _fields(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(value: object) -> datetime | None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
