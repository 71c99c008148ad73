"""One attempt at a spec, from the claim that was won to the link that closes it. Runs in its slot's thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from storage_schema.errors import ProtocolViolation, StoreUnavailable, UserError
from storage_schema.keys import output_key
from storage_schema.records import CheckpointRef, Link, LinkKind, Study
from storage_schema.store import create_settled
from storage_schema.waiting import GaveUp
from workers.assignment import trial_file
from workers.checkpoint_cache import CheckpointCache
from workers.claim import Claimed
from workers.closing import Course, Outcome, outcome, unasked_before, words
from workers.commit import Commits
from workers.ending import Ended
from workers.interruption import Interruption
from workers.lease import Lease, Lost
from workers.milestones import milestones_of
from workers.remove_tree import remove_tree
from workers.restore import restore
from workers.retention import forget_superseded
from workers.segments import SegmentLog
from workers.start import Start, resource_top
from workers.trial_process import Launcher, TrialProcess
from workers.watch import Watch
from workers.world import World

MAX_TAIL = 8 * 1024


class NotStartable(UserError):
    """The study's program cannot be started on this machine: no attempt here can end well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all attempts of a worker share."""

    world: World
    study: Study
    lease: Lease
    cache: CheckpointCache
    interruption: Interruption


class Attempt:
    """Runs a claimed spec.

    Args:
        bench: what is shared.
        claimed: the spec.
        launcher: of the slot.
        folder: a scratch folder of its own; made and removed here.
        gpus: of the slot.
    """

    def __init__(
        self, bench: Bench, claimed: Claimed, launcher: Launcher, folder: Path, gpus: tuple[str, ...]
    ) -> None:
        self._bench = bench
        self._claimed = claimed
        self._launcher = launcher
        self._folder = folder
        self._gpus = gpus
        self._began = bench.world.clock.monotonic()
        self._patience = bench.world.patience(self._no_use_waiting)
        self._watch: Watch | None = None

    def run(self) -> None:
        """Run it to its end, whatever that is.

        Raises:
            NotStartable: after the spec was given back.
            OSError: this machine cannot run it now; the spec was given back.
            DamagedRecord, ProtocolViolation: the worker must not go on.
        """
        holding = self._claimed.holding
        closed = False
        try:
            self._folder.mkdir(parents=True)
            closed = self._run()
        except Lost as lost:
            self._say(f"dropped: {lost}")
        except GaveUp as error:
            self._say(f"dropped, the store is away: {error}")
        except UserError as error:
            closed = self._give_back(f"cannot be started: {error}")
            raise NotStartable(str(error)) from error
        except OSError as error:
            closed = self._give_back(f"this machine cannot run it now: {error}")
            raise
        finally:
            self._bench.lease.let_go(holding, closed=closed)
            remove_tree(self._folder)

    def _run(self) -> bool:
        start = self._restored()
        if self._bench.interruption.count:
            return self._give_back("interrupted before the trial was started")
        log = self._segment_log(start)
        commits = self._commits()
        if self._nothing_left(start):
            return self._close(start, log, commits, None)
        self._claimed.holding.sure(self._patience)
        trial = self._launcher.start(
            trial_file(self._bench.study, self._claimed, start, self._folder), self._folder, self._gpus
        )
        try:
            self._watch = Watch(
                self._bench,
                self._claimed.holding,
                trial,
                log,
                commits,
                self._patience,
                milestones_of(self._bench.study, self._claimed.issue, start.resource),
                self._to(),
            )
            ended = self._watch.until_end()
            return self._close(start, log, commits, (trial, ended))
        except (Lost, GaveUp) as lost:
            self._end_trial(trial, softly=isinstance(lost, Lost) and lost.stopped)
            raise
        finally:
            if self._watch is not None:
                self._watch.close()
            trial.close()

    def _restored(self) -> Start:
        """Return the best place to start from whose files are here and verified."""
        start = self._claimed.start
        while start.checkpoint is not None:
            self._claimed.holding.sure(self._patience)
            if restore(
                self._bench.world, self._bench.cache, start, self._folder / "restored", self._patience
            ):
                return start
            start = self._patience.through(lambda: next(self._claimed.further))
        return start

    def _nothing_left(self, start: Start) -> bool:
        """Tell whether an earlier attempt committed the end of this spec, and only its link was missing."""
        resource = self._bench.study.resource
        return resource is not None and start.own and start.resource >= self._claimed.issue.to

    def _segment_log(self, start: Start) -> SegmentLog:
        study, issue = self._bench.study, self._claimed.issue
        top, low = resource_top(study, issue), issue.start if issue.start > 0 else -1
        return SegmentLog(
            self._bench.world.store,
            self._claimed.holding.claim.id,
            inherited=start.inherited,
            objective=study.objective.name,
            counts=lambda resource: low < resource <= top,
            measured=start.measured,
        )

    def _commits(self) -> Commits:
        study, issue = self._bench.study, self._claimed.issue
        top = resource_top(study, issue)
        return Commits(
            self._bench.world.store,
            self._claimed.holding.claim.id,
            trial=issue.trial,
            checkpoint_dir=self._folder / "checkpoints",
            taken=self._folder / "taken",
            counts=lambda resource: issue.start < resource <= top,
            complain=self._say,
        )

    def _to(self) -> int | None:
        return self._claimed.issue.to if self._bench.study.resource else None

    def _close(
        self, start: Start, log: SegmentLog, commits: Commits, run: tuple[TrialProcess, Ended] | None
    ) -> bool:
        """Write what belongs to the record, then the link. Returns True, or raises Lost or GaveUp."""
        found = self._outcome(start, log, run)
        self._claimed.holding.sure(self._patience)
        reason, reached = found.reason or commits.complaint[:1000], max(log.greatest or 0, start.resource)
        link = self._link(found.kind, reason=reason, reached=reached)
        if found.kind is not LinkKind.RELEASE:
            link = replace(link, segments=log.finish(self._patience), checkpoint=_newest(start, commits))
        if found.kind is LinkKind.FAIL:
            retries_left = 0 if found.final else max(0, self._bench.study.retries - link.failures)
            tail = run[0].tail()[-MAX_TAIL:] if run else ""
            link = replace(link, failures=link.failures + 1, retries_left=retries_left, tail=tail)
        if run is not None:
            self._keep_output(run[0])
        self._create(link)
        self._say(words(link))
        self._after(link, start, commits)
        return True

    def _after(self, link: Link, start: Start, commits: Commits) -> None:
        """Keep the newest checkpoint on this machine, and delete what nothing needs any more."""
        if commits.done:
            newest = commits.done[-1]
            try:
                self._bench.cache.keep(newest.ref.key, newest.folder, newest.size)
            except OSError as error:
                self._say(f"its checkpoint is not kept on this machine: {error}")
        if link.kind is LinkKind.DONE:
            store, issue, resumed = self._bench.world.store, self._claimed.issue, bool(self._claimed.chain)
            keep_all = self._bench.study.keep_checkpoints == "all"
            forget_superseded(
                store, issue, start, commits, link.checkpoint, resumed=resumed, keep_all=keep_all
            )

    def _outcome(self, start: Start, log: SegmentLog, run: tuple[TrialProcess, Ended] | None) -> Outcome:
        if run is None or self._watch is None:
            return Outcome(kind=LinkKind.DONE, reason="an earlier attempt had finished it")
        trial, ended = run
        study = self._bench.study
        return outcome(
            Course(
                ended=ended,
                interrupted=self._watch.interrupted,
                terminated=self._watch.terminated,
                overran=self._watch.overran,
                to=self._to(),
                reached=max(log.greatest or 0, start.resource),
                resource_name=study.resource.name if study.resource else "report",
                objective=study.objective.name,
                measured=log.measured,
                elsewhere=log.objective_elsewhere,
                metrics=log.metrics,
                complaints=trial.bad_lines(),
                unasked_before=unasked_before(self._claimed.chain, start.resource),
            )
        )

    def _link(self, kind: LinkKind, *, reason: str, reached: int = 0) -> Link:
        world = self._bench.world
        claim = self._claimed.holding.claim
        wall_s = round(world.clock.monotonic() - self._began, 3)
        link = claim.following(kind, token=world.token(), author=claim.author, at=world.clock.now())
        return replace(
            link,
            reason=reason,
            resource=reached,
            wall_s=wall_s,
            gpu_s=round(wall_s * len(self._gpus), 3),
        )

    def _create(self, link: Link) -> None:
        self._claimed.holding.sure(self._patience)
        settled = create_settled(self._bench.world.store, link.key, link.to_bytes(), wait=self._patience)
        if not settled.mine:
            self._claimed.holding.check()  # the main thread may have given it back meanwhile
            standing = Link.from_bytes(settled.data, link.id)
            if standing.kind not in (LinkKind.FENCE, LinkKind.STOP):
                raise ProtocolViolation(
                    f"{link.key}: {standing.kind} by {standing.author} closes another's claim"
                )
            raise Lost(f"{standing.kind} by {standing.author} came before its {link.kind}")

    def _give_back(self, reason: str) -> bool:
        """Release the spec; tell whether that worked."""
        try:
            self._claimed.holding.sure(self._patience)
            self._create(self._link(LinkKind.RELEASE, reason=reason[:1000]))
        except (Lost, GaveUp) as error:
            self._say(f"dropped: {error}")
            return False
        self._say(f"given back: {reason}")
        return True

    def _keep_output(self, trial: TrialProcess) -> None:
        output = trial.output()
        if not output:
            return
        id = self._claimed.holding.claim.id
        try:
            self._bench.world.store.replace(output_key(id.spec, id.link), output)
        except StoreUnavailable as error:
            self._say(f"its output could not be kept: {error}")

    def _end_trial(self, trial: TrialProcess, *, softly: bool) -> None:
        if softly and self._watch is not None:
            self._watch.stop_softly()
        trial.kill()

    def _no_use_waiting(self) -> bool:
        over = self._bench.interruption.closing_over(self._bench.study.timing.grace_s)
        return over or bool(self._claimed.holding.lost)

    def _say(self, words: str) -> None:
        id = self._claimed.holding.claim.id
        self._bench.world.say(f"trial {self._claimed.issue.trial} ({id.spec}, attempt {id.link}): {words}")


def _newest(start: Start, commits: Commits) -> CheckpointRef | None:
    """Return the newest checkpoint of this spec, by this attempt or an earlier one."""
    if commits.done:
        return commits.done[-1].ref
    return start.checkpoint if start.own else None
