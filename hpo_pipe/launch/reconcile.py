"""As many workers as the study can use, and none when it has ended. May be run by anybody, at any time, at once.

Each round looks at the study, at its submissions and at their providers, and submits the difference. A submission's
number can be won once, so of two rounds that see the same gap one fills it, and the other looks again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hpo_pipe.launch.desk import Desk, Placed
from hpo_pipe.launch.submissions import Known
from hpo_pipe.launch.target import JobState, Look, Refusal, Target, TargetUnavailable
from hpo_pipe.report.state import StudyState
from storage_schema.errors import UserError

UNSEEN_S = 1800.0
"""While a provider cannot be asked, the workers of a submission younger than this count as coming."""
FIRST_PAUSE_S = 30.0
"""After a round of refusals, or of workers that all failed; doubled with each further one."""
MOST_PAUSE_S = 1800.0
FAILED_WITHIN_S = 1800.0
"""Workers that all failed so soon would fail again: a wrong image, secret or right. Later, something else may have
come up, and they have been paid for."""
MAX_ROUNDS = 20
"""Of looking again because somebody else submitted first."""


class NothingSubmitted(UserError):
    """Nothing was ever submitted, so nobody has said what workers are to be like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many workers there may be."""

    least: int = 0
    """While the study is under way."""
    most: int


@dataclass(slots=True, kw_only=True)
class Seen:
    """One open submission, and what its provider says."""

    known: Known
    look: Look | None
    """None: the provider cannot be asked."""
    beating: int
    """Workers of it that show themselves in the study."""

    def alive(self, now: float) -> int:
        """Return how many workers of it there are or will be. `now`: seconds since the epoch."""
        if self.known.unsettled:
            return self.known.workers
        if self.look is not None:
            return max(self.look.alive, self.beating)
        young = now - self.known.spoken_at < UNSEEN_S
        return max(self.known.workers if young else 0, self.beating)

    @property
    def pending(self) -> int:
        """How many wait for a machine."""
        return self.look.counts.get(JobState.PENDING, 0) if self.look else 0


@dataclass(slots=True, kw_only=True)
class Round:
    """What one reconcile saw and did."""

    wanted: int = 0
    alive: int = 0
    """Before it did anything."""
    pending: int = 0
    foreign: int = 0
    """Workers of no submission; they count as alive."""
    started: int = 0
    cancelled: int = 0
    notes: list[str] = field(default_factory=list)
    wait_s: float = 0.0
    """Refused lately, or all that was started failed: nobody is asked before so long, seconds."""

    def line(self) -> str:
        """Return it for people."""
        parts = [f"wanted {self.wanted}, alive {self.alive}"]
        told = (
            (self.pending, "of them {} waiting for a machine"),
            (self.foreign, "{} of no submission that is open"),
            (self.started, "{} started"),
            (self.cancelled, "{} cancelled"),
            (math.ceil(self.wait_s), "refused or failed lately: asked again in {} s"),
        )
        return ", ".join([*parts, *(words.format(count) for count, words in told if count)])


class Reconciler:
    """Keeps one study's workers within bounds."""

    def __init__(
        self,
        desk: Desk,
        look: Callable[[], StudyState],
        find: Callable[[str], Target],
        bounds: Bounds,
    ) -> None:
        """Take what to work with.

        Args:
            desk: asks providers.
            look: reads the study as it is now.
            find: loads a target by name.
            bounds: of the number of workers.
        """
        self._desk = desk
        self._look = look
        self._find = find
        self._bounds = bounds

    def run(self) -> Round:
        """Do one round.

        Raises:
            NothingSubmitted: so nobody has said what workers are to be like.
            StoreUnavailable: the store cannot be used now.
        """
        for _ in range(MAX_ROUNDS):
            found, placed = self._round()
            if placed is None or not placed.lost:
                return found
        raise RuntimeError(f"others submitted first {MAX_ROUNDS} times in a row")

    def _round(self) -> tuple[Round, Placed | None]:
        self._desk.submissions.refresh()
        state = self._look()
        found = Round()
        over = state.history.finished is not None
        seen = [self._see(known, state, found, over) for known in self._desk.submissions.open()]
        beating = sum(one.beating for one in seen)
        found.foreign = max(0, len(_working(state)) - beating)
        found.alive = sum(one.alive(state.looked_at) for one in seen) + found.foreign
        found.pending = sum(one.pending for one in seen)
        template = self._template()
        found.wanted = wanted_workers(state, self._bounds, template.order.plan.slots_per_worker())
        if found.wanted < found.alive:
            self._withdraw(seen, found, over)
            return found, None
        if found.wanted == found.alive:
            return found, None
        found.wait_s = self._pause_s(template, state.looked_at)
        if found.wait_s > 0:
            found.notes += _failure(template)
            return found, None
        return found, self._top_up(template, found)

    def _top_up(self, template: Known, found: Round) -> Placed:
        order = template.order
        placed = self._desk.place(
            self._find(order.target), order.plan, order.settings, found.wanted - found.alive, insist=False
        )
        found.started = placed.workers
        found.notes += [
            f"{str(offer) or order.target}: {kind}: {said}" for offer, kind, said in placed.refusals
        ]
        if placed.unknown:
            found.notes.append(placed.unknown)
        return placed

    def _see(self, known: Known, state: StudyState, found: Round, over: bool) -> Seen:
        beating = sum(machine.get("submission") == str(known.number) for machine in _working(state))
        look = None
        try:
            target = self._find(known.order.target)
            if self._desk.silent(known):
                found.notes.append(f"submission {known.number}: its launcher fell silent; taken over")
                self._desk.take_over(target, known, wanted=not over)
            if not known.unsettled:
                look = self._desk.look(target, known)
        except (TargetUnavailable, UserError) as error:
            found.notes.append(f"submission {known.number} ({known.order.target}): {error}")
        return Seen(known=known, look=look, beating=beating)

    def _withdraw(self, seen: list[Seen], found: Round, over: bool) -> None:
        """Cancel jobs that have not begun, newest first; those that run end by themselves when they are idle."""
        surplus = found.alive - found.wanted
        for one in reversed(seen):
            if not one.pending or (one.pending > surplus and not over):
                continue
            target = self._find(one.known.order.target)
            try:
                count = target.cancel(one.known.order, one.known.jobs, pending_only=True)
            except TargetUnavailable as error:
                found.notes.append(f"submission {one.known.number}: {error}")
                continue
            found.cancelled += count
            surplus -= count

    def _template(self) -> Known:
        known = self._desk.submissions.all()
        if not known:
            raise NothingSubmitted(
                "nothing was ever submitted to this study, so nobody has said what its workers are to be like: "
                "hpo-pipe submit TARGET URL --workers 0 ... records it"
            )
        return known[-1]

    def _pause_s(self, template: Known, now: float) -> float:
        """Return for how long nobody is to be asked, after rounds that were in vain; seconds, 0 for not at all."""
        order = template.order
        offers = len(self._find(order.target).offers(order.settings, order.plan))
        in_vain = 0.0
        for known in reversed(self._desk.submissions.all()):
            failed_after_s = known.failed_after_s
            if failed_after_s is not None and failed_after_s < FAILED_WITHIN_S:
                in_vain += 1.0
            elif known.refusal is not None and not known.workers:
                in_vain += 1.0 / max(1, offers)
            else:
                break
        if not in_vain:
            return 0.0
        rounds = math.ceil(round(in_vain, 6))
        pause_s = min(MOST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(rounds - 1, 30))
        return max(0.0, self._desk.submissions.all()[-1].spoken_at + pause_s - now)


def wanted_workers(state: StudyState, bounds: Bounds, slots: int | None) -> int:
    """Return how many workers the study can use now, within bounds.

    Args:
        state: the study.
        bounds: of the number of workers; both give way to a study that has ended or is paused.
        slots: trials at a time of one worker; None: as many as the live ones have, or 1.
    """
    history = state.history
    if history.finished is not None:
        return 0
    running = len(state.running)
    if history.paused:
        return min(bounds.most, running)
    if slots is None:
        live = [p.heartbeat.slots for p in state.live("worker") if p.heartbeat.slots]
        slots = max(1, round(sum(live) / len(live))) if live else 1
    # Nothing is open yet where no coordinator has lived: a worker starts one.
    depth = max(1, len(history.open))
    return min(bounds.most, max(bounds.least, math.ceil(depth / slots)))


def _failure(known: Known) -> list[str]:
    step = known.refusal
    if step is None or step.refusal != Refusal.FAILED:
        return []
    url = known.order.plan.url
    return [f"submission {known.number}: {step.message}; see hpo-pipe submit logs {url} {known.number}"]


def _working(state: StudyState) -> list[Mapping[str, str]]:
    """Return the machines of all live workers."""
    return [dict(p.heartbeat.machine) for p in state.live("worker")]
