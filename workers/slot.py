"""One slot: claims a spec, runs it, and comes back for the next, in a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from storage_schema.errors import StoreUnavailable
from workers.attempt import Attempt, Bench
from workers.claim import Claimed, Desk
from workers.trial_process import Launcher

NAP_S = 0.5
"""So often a slot that waits looks whether the worker stops."""

MOST_REST_S = 60.0
"""Between two tries of a machine that cannot run trials: each costs a claim that is given back."""


@dataclass(slots=True)
class Control:
    """What the main thread and the slots tell each other."""

    stopping: bool = False
    """Claim nothing more."""
    work: threading.Event = field(default_factory=threading.Event)
    """Set by the main thread: there may be something to claim."""
    wake: threading.Event = field(default_factory=threading.Event)
    """Set by slots: something changed."""
    failure: BaseException | None = None
    """The first error that this worker must not outlive."""

    def fail(self, error: BaseException) -> None:
        """End the worker for an error."""
        self.failure = self.failure or error
        self.stopping = True
        self.wake.set()


class Slot:
    """Runs one spec at a time."""

    def __init__(
        self,
        bench: Bench,
        desk: Desk,
        control: Control,
        launcher: Launcher,
        scratch: Path,
        gpus: tuple[str, ...],
    ) -> None:
        self._bench = bench
        self._desk = desk
        self._control = control
        self._launcher = launcher
        self._scratch = scratch
        self._gpus = gpus
        self._failures = 0
        self.idle = False
        """Whether it looked and found nothing to claim."""
        self.ended = False

    def run(self) -> None:
        """Work until the worker stops."""
        try:
            while not self._control.stopping:
                self._once()
        except BaseException as error:  # the thread's last words: the main thread must hear of it
            self._control.fail(error)
        finally:
            self.idle = True
            self._launcher.close()
            self.ended = True
            self._control.wake.set()

    def _once(self) -> None:
        try:
            claimed = self._desk.claim(self._bench.cache.trials())
        except StoreUnavailable as error:
            self._failures += 1
            self._bench.world.waiting(f"waiting: {error}")
            self._rest(self._bench.world.patience(lambda: False).pause_s(self._failures))
            return
        if claimed is None:
            self._wait_for_work()
            return
        self.idle = False
        try:
            self._run(claimed)
            self._failures = 0
        except OSError as error:
            self._failures += 1
            self._bench.world.say(f"this machine cannot run a trial now: {error}")
            self._rest(min(MOST_REST_S, 2.0 ** min(self._failures, 6)))

    def _run(self, claimed: Claimed) -> None:
        id = claimed.holding.claim.id
        place = f" from {claimed.start.resource}" if claimed.start.checkpoint else ""
        self._bench.world.say(
            f"trial {claimed.issue.trial} ({id.spec}, attempt {id.link}): claimed{place}, to {claimed.issue.to}"
        )
        folder = self._scratch / f"{id.spec}.{id.link:04}"
        Attempt(self._bench, claimed, self._launcher, folder, self._gpus).run()

    def _wait_for_work(self) -> None:
        self._control.work.clear()
        if not self.idle:
            self.idle = True
            self._control.wake.set()
        while not self._control.stopping:
            if self._bench.world.clock.wait(self._control.work, NAP_S):
                return

    def _rest(self, seconds: float) -> None:
        clock = self._bench.world.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0 and not self._control.stopping:
            clock.sleep(min(NAP_S, left))
