"""Watching a running trial: reports, checkpoints, the next link, interruption (PROTOCOL.md, 5.4 and 5.9)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from storage_schema.errors import StoreUnavailable
from storage_schema.trial_env import INTERRUPT, STOP
from storage_schema.waiting import ANNOUNCE_AFTER_S, Patience
from workers.commit import Commits, Finished
from workers.ending import Ended
from workers.interruption import SIGNALS
from workers.lease import Holding
from workers.milestones import Milestones
from workers.remove_tree import remove_tree
from workers.retention import forget_older
from workers.segments import SegmentLog, at_once
from workers.trial_process import TrialProcess

if TYPE_CHECKING:
    from workers.attempt import Bench

POLL_S = 0.1
"""The trial's end is noticed at once; all else within so long."""

STOP_GRACE_S = 10.0
"""At most: what a trial whose result nobody wants gets for ending in good order."""

OVERRUN_GRACE_S = 2.0
"""A trial that trains on past its spec gets SIGTERM so long after it was told: its result is there already."""

TOLD_TOO_S = 1.0
"""Slurm and systemd signal all processes of a job: so long is our own signal waited for when a trial's was first."""

SHELLS_SIGNALS = 128
"""What a shell adds to the number of the signal that ended its command."""


class Watch:
    """Looks after one running trial until it ends."""

    def __init__(
        self,
        bench: Bench,
        holding: Holding,
        trial: TrialProcess,
        log: SegmentLog,
        commits: Commits,
        patience: Patience,
        milestones: Milestones,
        to: int | None,
    ) -> None:
        self._world = bench.world
        self._lease = bench.lease
        self._milestones = milestones
        self._to = to
        self._timing = bench.study.timing
        self._counted = bench.study.resource is not None
        self._interruption = bench.interruption
        self._saves = 0
        self._holding = holding
        self._trial = trial
        self._log = log
        self._commits = commits
        self._patience = patience
        self.interrupted = False
        """The trial was asked to save and go."""
        self.terminated = False
        """It was sent a signal."""
        self.overran = False
        """It trained on past the end of its spec, and was told to stop."""
        self._killed = False
        self._asked_at = 0.0
        self._flush_at = bench.world.clock.monotonic() + self._timing.flush_s
        self._failures = 0
        self._failing_since = 0.0
        self._retry_at = 0.0
        self._untold = False
        self._telling = threading.Lock()
        bench.interruption.listen(self._tell)

    def close(self) -> None:
        """The trial is over: tell it nothing more."""
        self._interruption.leave(self._tell)

    def until_end(self) -> Ended:
        """Return how the trial ended, with all its rows taken in and its last checkpoint committed.

        Raises:
            Lost: the attempt is not ours any more. GaveUp: the store was away for too long.
        """
        clock = self._world.clock
        while True:
            before = clock.monotonic()
            ended = self._trial.wait(max(0.0, min(POLL_S, self._flush_at - before)))
            now = clock.monotonic()
            if now - before >= self._timing.lease_s:
                self._holding.unsure = True
            self._holding.sure(self._patience)
            self._take_reports()
            if ended is not None:
                self.interrupted = self.interrupted or self._told_too(ended)
                self.close()
                self._finish(now)
                return ended
            self._interrupt(now)
            self._overrun(now)
            if self._commits.scan(now):
                self._trial.saved()
            self._keep_up(now)

    def stop_softly(self) -> None:
        """Let a trial that a coordinator stopped end in good order, for a short while."""
        grace_s = min(STOP_GRACE_S, self._timing.grace_s)
        try:
            self._trial.ask_to_stop(STOP)
        except OSError:
            grace_s = 0.0
        if self._wait(grace_s / 2) is None:
            self._trial.terminate()
            self._wait(grace_s / 2)

    def _wait(self, seconds: float) -> Ended | None:
        until = self._world.clock.monotonic() + seconds
        while (left := until - self._world.clock.monotonic()) > 0 and not self._interruption.hurry:
            if (ended := self._trial.wait(min(POLL_S, left))) is not None:
                return ended
        return self._trial.poll()

    def _take_reports(self) -> None:
        if self._log.full:
            return
        reports = self._trial.reports()
        value = self._log.add(reports)
        if self._milestones.see(reports):
            self._holding.curves = self._milestones.curves()
            self._lease.tell()
        if self._log.greatest is not None:
            self._holding.resource = self._log.greatest
        if value is not None:
            self._holding.value = value

    def _interrupt(self, now: float) -> None:
        """Ask, then SIGTERM after half of the grace, then SIGKILL after all of it; at once in a hurry."""
        self._tell()
        if not self.interrupted or self._killed:
            return
        until = self._interruption.trial_until(self._asked_at, self._timing.grace_s)
        if now >= until:
            self._killed = self.terminated = True
            self._trial.kill()
        elif (self._untold or now >= (self._asked_at + until) / 2) and not self.terminated:
            self._terminate()

    def _tell(self) -> None:
        """Tell the trial what is asked of this worker. Any thread: this one may be in the middle of an upload."""
        if not self._telling.acquire(blocking=False):
            return
        try:
            if self._interruption.count and not self.interrupted:
                self._asked_at = self._world.clock.monotonic()
                self.interrupted = True
                self._trial.ask_to_stop(INTERRUPT)
            elif self._saves != self._interruption.saves:
                self._saves = self._interruption.saves
                self._trial.ask_to_save()
        except OSError:
            self._untold = self.interrupted
        finally:
            self._telling.release()

    def _told_too(self, ended: Ended) -> bool:
        """Tell whether a signal that ended the trial was meant for us all; the trial may be the first to go."""
        number = ended.signal if ended.signal is not None else (ended.status or 0) - SHELLS_SIGNALS
        if number not in SIGNALS or self.terminated:
            return False
        clock = self._world.clock
        until = clock.monotonic() + TOLD_TOO_S
        while not self._interruption.count and clock.monotonic() < until:
            clock.sleep(POLL_S)
        return self._interruption.count > 0

    def _overrun(self, now: float) -> None:
        """End a trial that does not know where its spec ends: what it trains now, the next rung may never want."""
        if self._to is None or self.interrupted or self._killed:
            return
        if not self.overran:
            if not self._log.measured or (self._log.greatest or 0) <= self._to:
                return
            self.overran, self._asked_at = True, now
            try:
                self._trial.ask_to_stop(STOP)
            except OSError:
                self._terminate()
        waited = now - self._asked_at
        if waited >= STOP_GRACE_S:
            self._killed = self.terminated = True
            self._trial.kill()
        elif waited >= OVERRUN_GRACE_S and not self.terminated:
            self._terminate()

    def _terminate(self) -> None:
        self.terminated = True
        self._trial.terminate()

    def _keep_up(self, now: float) -> None:
        """Do what is due: look, flush, commit. Where the store is away, try again after a pause; training goes on."""
        ready = [finished for finished in self._commits.waiting if self._ready(finished, now)]
        due = now >= self._flush_at
        if now < self._retry_at or not (due or ready or self._holding.poked or self._log.full):
            return
        try:
            self._holding.look()
            self._log.flush(at_once)
            for finished in ready:
                self._commit(finished)
        except StoreUnavailable as error:
            self._failed(error, now)
        else:
            self._failures = 0
            if due:
                self._flush_at = now + self._timing.flush_s

    def _failed(self, error: StoreUnavailable, now: float) -> None:
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        clock = self._world.clock
        self._retry_at = clock.monotonic() + self._patience.pause_s(self._failures)
        self._flush_at = max(self._flush_at, self._retry_at)
        if now - self._failing_since >= ANNOUNCE_AFTER_S:
            self._world.waiting(f"waiting: {error}")

    def _ready(self, finished: Finished, now: float) -> bool:
        """A checkpoint is committed once its unit was reported: a later attempt will not train that unit again."""
        reported = self._log.greatest is not None and self._log.greatest >= finished.resource
        return reported or not self._counted or now - finished.found_at >= self._timing.flush_s

    def _commit(self, finished: Finished) -> None:
        began = self._world.clock.monotonic()
        try:
            self._commits.write_files(finished, self._between_files)
        except OSError as error:
            self._world.say(f"a checkpoint of trial {self._holding.trial} could not be read: {error}")
            self._commits.discard(finished)
            return
        if self._world.clock.monotonic() - began >= self._timing.flush_s:
            self._holding.look()
        self._holding.confirm()
        self._commits.write_manifest(finished, self._log.refs())
        for older in self._commits.done[:-1]:
            remove_tree(older.folder)
        try:
            forget_older(self._world.store, self._commits)
        except StoreUnavailable:
            return  # the next commit tries again

    def _between_files(self) -> None:
        self._holding.confirm()
        self._trial.poll()

    def _finish(self, now: float) -> None:
        """Take in the rest of what a trial that has ended left behind."""
        while self._log.full:
            self._log.flush(self._patience)
        self._take_reports()
        self._commits.scan(now)
        for superseded in self._commits.waiting[:-1]:
            self._commits.discard(superseded)
        for finished in list(self._commits.waiting):
            self._holding.sure(self._patience)
            self._log.flush(self._patience)
            self._patience.through(lambda finished=finished: self._commit(finished))  # type: ignore[misc]
