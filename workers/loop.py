"""The worker's main loop: heartbeat, board, staleness, and when to end. It never waits for an upload."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from storage_schema.errors import HpoPipeError, StoreUnavailable
from storage_schema.records import Timing
from storage_schema.store import is_near
from workers.board import BoardReader
from workers.budget import MAX_COST
from workers.interruption import Interruption
from workers.last_resort import give_back
from workers.lease import Lease
from workers.slot import Control, Slot
from workers.staleness import Staleness
from workers.world import World

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 75
EXIT_CTRL_C_TWICE = 130

STEP_S = 0.2
"""The loop goes round at least this often: a signal cannot end a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two looks of an idle worker at the board: from `first_s`, each time half as much again."""

    first_s: float
    most_s: float

    @classmethod
    def of(cls, url: str) -> Pace:
        """Return the pace for a store: looking is free on a folder, and costs money elsewhere."""
        if is_near(url):
            return cls(first_s=0.01, most_s=0.2)
        return cls(first_s=1.0, most_s=15.0)

    @property
    def max_age_s(self) -> float:
        """A board of this age is good enough to claim from."""
        return min(0.2, self.first_s / 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """When the worker ends by itself; None: never for this reason."""

    idle_timeout_s: float | None = None
    max_runtime_s: float | None = None
    max_cost_s: float | None = None
    """For how long the dollars last that this machine may cost."""
    drain: bool = False
    """End as soon as nothing is claimable and nothing is held."""


class Worker:
    """Ties the slots, the lease and the board together."""

    def __init__(
        self,
        world: World,
        timing: Timing,
        *,
        board: BoardReader,
        lease: Lease,
        slots: list[Slot],
        control: Control,
        interruption: Interruption,
        pace: Pace,
        ends: Ends,
        start_coordinator: Callable[[], None] | None,
    ) -> None:
        self._world = world
        self._timing = timing
        self._board = board
        self._lease = lease
        self._slots = slots
        self._control = control
        self._interruption = interruption
        self._pace = pace
        self._ends = ends
        self._start_coordinator = start_coordinator
        now = world.clock.monotonic()
        self._began = self._busy_at = now
        self._look_at = 0.0
        self._look_pause_s = pace.first_s
        self._looked_idle = False
        self._failures = 0
        self._staleness = Staleness(timing, world.rng, now)
        self._finished = False
        self._resting = False
        self._over = ""
        self._giving_back = False
        self.cut_short = False
        """It ended with threads still at work: nothing of what they do counts any more."""

    def run(self) -> int:
        """Work until the end; return the exit code.

        Raises:
            HpoPipeError: what a slot's thread died of.
        """
        for number, slot in enumerate(self._slots):
            self._world.spawn(slot.run, f"slot-{number}")
        while not all(slot.ended for slot in self._slots):
            try:
                self._step()
            except HpoPipeError as error:
                self._control.fail(error)
            if self._interruption.overdue():
                self.cut_short = True
                give_back(self._world, self._lease)
                break
            self._sleep()
        self._lease.retire()
        if self._control.failure is not None:
            raise self._control.failure
        return self._exit_code()

    def _step(self) -> None:
        self._lease.step()
        self._see_interruption()
        self._interruption.spread()
        if self._control.stopping:
            return
        idle = all(slot.idle for slot in self._slots)
        if not idle:
            self._busy_at, self._looked_idle = self._world.clock.monotonic(), False
        self._look_if_due(idle)
        self._see_end(idle)

    def _sleep(self) -> None:
        """Wait for the next step; a wait that took longer than a lease was a pause of this whole process."""
        now = self._world.clock.monotonic()
        wait_s = min(STEP_S, self._lease.due_in_s())
        if not self._control.stopping:
            wait_s = min(wait_s, max(0.0, self._look_at - now), self._pace.first_s)
        self._world.clock.wait(self._control.wake, max(wait_s, 0.001))
        self._control.wake.clear()
        if self._world.clock.monotonic() - now >= self._timing.lease_s:
            self._lease.paused()

    def _look_if_due(self, idle: bool) -> None:
        """Read the board for the idle slots, less and less often while it does not change.

        With no slot idle it is read only to see whether the study has ended.
        """
        now = self._world.clock.monotonic()
        if now < self._look_at and not (idle and not self._looked_idle):
            return
        unchanged_s = self._board.unchanged_s()
        try:
            self._board.refresh()
            self._finished = self._board.finished()
            self._resting = self._board.resting()
        except StoreUnavailable as error:
            self._failures += 1
            self._look_at = now + self._world.patience(lambda: False).pause_s(self._failures)
            self._world.waiting(f"waiting: {error}")
            return
        self._failures = 0
        self._looked_idle = idle
        changed = self._board.unchanged_s() < unchanged_s
        self._offer(now)
        self._set_pace(now, quick=changed or self._board.claimable())

    def _offer(self, now: float) -> None:
        """Tell the idle slots of work, or the busy ones of the study's end, or start a coordinator."""
        if self._finished:
            self._lease.poke()
        elif self._board.claimable():
            self._staleness.fruitful(now)
            self._control.work.set()
        elif any(slot.idle for slot in self._slots) and not self._resting:
            self._offer_tick(now)

    def _offer_tick(self, now: float) -> None:
        unchanged_s, never = self._board.unchanged_s(), self._board.missing
        if self._start_coordinator is None or not self._staleness.due(now, unchanged_s, never=never):
            return
        try:
            self._start_coordinator()
        except OSError as error:
            self._world.say(f"no coordinator could be started: {error}")

    def _set_pace(self, now: float, *, quick: bool) -> None:
        if not any(slot.idle for slot in self._slots):
            pause_s = self._pace.most_s
        elif quick:
            pause_s = self._look_pause_s = self._pace.first_s
        else:
            pause_s = self._look_pause_s = min(self._pace.most_s, self._look_pause_s * 1.5)
        self._look_at = now + pause_s * self._world.rng.uniform(0.75, 1.25)

    def _see_interruption(self) -> None:
        now = self._world.clock.monotonic()
        limit_s = self._ends.max_runtime_s
        if self._control.failure is not None and not self._interruption.count:
            self._interruption.notice("a failure")
        if limit_s is not None and now - self._began >= limit_s and not self._interruption.count:
            self._interruption.notice("--max-runtime")
        lasts_s = self._ends.max_cost_s
        if lasts_s is not None and now - self._began >= lasts_s and not self._interruption.count:
            self._interruption.notice(MAX_COST)
        if self._interruption.draining and not self._over:
            self._end(f"{self._interruption.draining}: what runs may finish, nothing more is claimed")
        if self._interruption.count and not self._giving_back:
            self._giving_back = True
            self._end(f"interrupted ({self._interruption.reason}): giving back what is held")

    def _see_end(self, idle: bool) -> None:
        if not idle or any(not slot.idle for slot in self._slots):
            return  # one may have claimed meanwhile
        idle_s = self._world.clock.monotonic() - self._busy_at
        if self._finished:
            self._end("the study has ended")
        elif self._ends.drain and self._looked_idle and not self._board.claimable():
            self._end("nothing more to claim")
        elif self._ends.idle_timeout_s is not None and idle_s >= self._ends.idle_timeout_s:
            self._end(f"nothing to do for {self._ends.idle_timeout_s:g} s")

    def _end(self, why: str) -> None:
        self._over = why
        self._world.say(why)
        self._control.stopping = True
        self._control.work.set()

    def _exit_code(self) -> int:
        if self._interruption.caught.count(signal.SIGINT) > 1:
            return EXIT_CTRL_C_TWICE
        if self._interruption.reason == MAX_COST:
            return EXIT_DONE
        return EXIT_INTERRUPTED if self._interruption.count or self._interruption.draining else EXIT_DONE
