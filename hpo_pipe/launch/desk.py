"""Asking providers for workers: recorded before, told after, never twice (PROTOCOL.md, 6.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo_pipe.coordinator.world import Say
from hpo_pipe.launch.order import Offer, Plan
from hpo_pipe.launch.submissions import Known, Submissions
from hpo_pipe.launch.target import Launched, Look, Refusal, Target, TargetUnavailable
from storage_schema.clock import Clock
from storage_schema.codec import Json
from storage_schema.records import StepKind

ASK_WITHIN_S = 60.0
"""So long after its record an author may ask the provider; later it leaves that to who takes over."""
TAKE_OVER_S = 600.0
"""So old is a submission that nobody has spoken for when another one takes it over."""
MAX_LOST_RACES = 1000


@dataclass(slots=True, kw_only=True)
class Placed:
    """What became of a wish for workers."""

    submissions: list[Known] = field(default_factory=list)
    workers: int = 0
    """How many were started."""
    refusals: list[tuple[Offer, Refusal, str]] = field(default_factory=list)
    unknown: str = ""
    """Why it is not known what the last request did: whoever comes next finds out."""
    lost: bool = False
    """Somebody else submitted first: look again before deciding."""

    @property
    def hopeless(self) -> tuple[Offer, Refusal, str] | None:
        """A refusal that neither time nor another offer mends."""
        return next((found for found in self.refusals if not found[1].passes), None)


class Desk:
    """Starts and settles submissions of one study."""

    def __init__(self, submissions: Submissions, clock: Clock, say: Say) -> None:
        self.submissions = submissions
        self._clock = clock
        self._say = say

    def place(
        self,
        target: Target,
        plan: Plan,
        settings: Mapping[str, Json],
        workers: int,
        *,
        insist: bool,
    ) -> Placed:
        """Start `workers`, offer after offer, until all are there or none is left.

        Args:
            target: who is asked.
            plan: what they are to be like.
            settings: the target's own.
            workers: how many; 0 records the plan alone, for a later reconcile.
            insist: go on where somebody else submitted meanwhile; otherwise that ends it, with `lost`.
        """
        placed = Placed()
        for offer in target.offers(settings, plan):
            began = self._clock.monotonic()
            known = self._reserve(target, plan, settings, offer, workers - placed.workers, insist=insist)
            if known is None:
                placed.lost = True
                break
            placed.submissions.append(known)
            try:
                launched = self._launch(target, known, began)
            except TargetUnavailable as error:
                placed.unknown = str(error)
                break
            if launched is None:
                placed.unknown = f"submission {known.number} is left to who takes it over"
                break
            placed.workers += launched.workers
            if launched.refusal is not None:
                placed.refusals.append((offer, launched.refusal, launched.message))
            if placed.workers >= workers or not _try_next(launched.refusal):
                break
        return placed

    def take_over(self, target: Target, known: Known, *, wanted: bool) -> Launched | None:
        """Find out what became of a submission whose author fell silent; start what is missing of it if it is `wanted`.

        Raises:
            TargetUnavailable: the provider cannot be asked now; the next one tries again.
        """
        began = self._clock.monotonic()
        if not self.submissions.add(known, StepKind.TAKEN, self._clock.now()):
            return None
        if wanted:
            return self._launch(target, known, began)
        target.cancel(known.order, ())
        self.submissions.add(
            known, StepKind.CANCELLED, self._clock.now(), message="the study needs it no more"
        )
        return Launched()

    def look(self, target: Target, known: Known) -> Look:
        """Look at a submission's jobs, and record where all have ended; raises TargetUnavailable."""
        look = target.look(known.order, known.jobs)
        if not look.alive and known.kind is StepKind.STARTED:
            failure = look.failure
            refusal = Refusal.FAILED if failure else None
            self.submissions.add(known, StepKind.ENDED, self._clock.now(), refusal=refusal, message=failure)
        return look

    def cancel(self, target: Target, known: Known) -> int:
        """End a submission's jobs; return how many. Raises TargetUnavailable."""
        count = target.cancel(known.order, known.jobs)
        self.submissions.add(known, StepKind.CANCELLED, self._clock.now())
        return count

    def silent(self, known: Known) -> bool:
        """Whether nobody has spoken for a submission for so long that its author must be gone.

        This machine's clock against the store's: a wrong one costs a request that is taken back, not workers twice.
        """
        return known.unsettled and self._clock.now() - known.spoken_at >= TAKE_OVER_S

    def _reserve(
        self,
        target: Target,
        plan: Plan,
        settings: Mapping[str, Json],
        offer: Offer,
        workers: int,
        *,
        insist: bool,
    ) -> Known | None:
        for _ in range(MAX_LOST_RACES if insist else 1):
            known = self.submissions.reserve(target.name, workers, offer, plan, settings, self._clock.now())
            if known is not None or not insist:
                return known
            self.submissions.refresh()
        raise RuntimeError(f"lost {MAX_LOST_RACES} races for the next submission")

    def _launch(self, target: Target, known: Known, began: float) -> Launched | None:
        """Ask the provider, and record what it said; None: it was too late to ask, or another one speaks for it.

        `began`: monotonic clock before the submission's last record was written.
        """
        if self._clock.monotonic() - began > ASK_WITHIN_S:
            return None
        launched = target.launch(known.order) if known.order.workers else Launched()
        kind = StepKind.STARTED if launched.workers else StepKind.REFUSED
        if not known.order.workers:
            kind = StepKind.ENDED
        mine = self.submissions.add(
            known,
            kind,
            self._clock.now(),
            workers=launched.workers,
            jobs=launched.jobs,
            refusal=launched.refusal,
            message=launched.message,
        )
        if mine:
            return launched
        self._say(
            f"submission {known.number} was taken over by another launcher while this one asked "
            f"{target.name}, for {self._clock.monotonic() - began:.0f} s"
        )
        if not target.repeats_safely and launched.jobs:
            target.cancel(known.order, launched.jobs)
        return None


def _try_next(refusal: Refusal | None) -> bool:
    """Whether another offer may give what this one did not: not where all are asked too fast, or in a wrong way."""
    return refusal in (Refusal.QUOTA, Refusal.CAPACITY)
