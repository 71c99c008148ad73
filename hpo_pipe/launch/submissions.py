"""The submissions of a study: an append-only sequence that one at a time extends (PROTOCOL.md, 6.10)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo_pipe.coordinator.world import drawn_token
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.target import Refusal
from storage_schema.codec import Json
from storage_schema.errors import DamagedRecord
from storage_schema.keys import SUBMISSIONS, parse_submission_key, submission_key
from storage_schema.records import StepKind, Submission, SubmissionStep
from storage_schema.store import Blob, Store, Wait
from storage_schema.store.settle import create_settled


@dataclass(slots=True)
class Known:
    """One submission, as far as it has been read."""

    record: Submission
    order: Order
    spoken_at: float
    """When its last step was recorded, on the store's clock."""
    steps: list[SubmissionStep] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Its number."""
        return self.record.number

    @property
    def kind(self) -> StepKind | None:
        """What its last step says; None: nobody has said yet what came of it."""
        return self.steps[-1].kind if self.steps else None

    @property
    def unsettled(self) -> bool:
        """Whether nobody has said yet what came of it."""
        return self.kind in (None, StepKind.TAKEN)

    @property
    def over(self) -> bool:
        """Whether nothing of it runs or waits any more."""
        return self.kind is not None and self.kind.final

    @property
    def started(self) -> SubmissionStep | None:
        """The step that tells of its jobs."""
        return next((step for step in self.steps if step.kind is StepKind.STARTED), None)

    @property
    def jobs(self) -> tuple[str, ...]:
        """Its jobs, as far as they were recorded."""
        return self.started.jobs if self.started else ()

    @property
    def workers(self) -> int:
        """How many were started; as long as nobody has said, how many were to be."""
        if self.unsettled:
            return self.record.workers
        return self.started.workers if self.started else 0

    @property
    def refusal(self) -> SubmissionStep | None:
        """The step that tells why not all were started, or that all of them failed."""
        return next((step for step in reversed(self.steps) if step.refusal), None)

    @property
    def failed_after_s(self) -> float | None:
        """So long after its record it was found that all its workers had failed, by authors' clocks; else None."""
        last = self.steps[-1] if self.steps else None
        if last is None or last.kind is not StepKind.ENDED or last.refusal != Refusal.FAILED:
            return None
        return last.at - self.record.at


RECENT = 64
"""So many of the newest are always read: what they say sets the pace of asking again."""


class Submissions:
    """The submissions of one study, of which anything may run or wait, and the newest; or, if asked for, all.

    A refresh reads what is new since the oldest one that is not over, so it does not grow with those that are.
    """

    def __init__(self, store: Store, wait: Wait, author: str, rng: random.Random) -> None:
        self._store = store
        self._wait = wait
        self._author = author[:200]
        self._rng = rng
        self._known: dict[int, Known] = {}

    def refresh(self, *, all_of_them: bool = False) -> None:
        """Read what is new; with `all_of_them` also what has been over for long.

        Raises:
            DamagedRecord: a record that cannot be read.
            StoreUnavailable: the store cannot be read now.
        """
        lowest = 0 if all_of_them else self._over() + 1
        after = submission_key(lowest, 1) if lowest in self._known else ""
        listed = (parse_submission_key(stat.key) for stat in self._store.list(SUBMISSIONS, after))
        found = [place for place in listed if place is not None]
        if not self._known and found and not all_of_them:
            lowest = self._worth_reading(max(number for number, _ in found))
        for number, step in found:
            if number >= lowest:
                self._read(number, step)

    def all(self) -> list[Known]:
        """Return all that were read, by number."""
        return [self._known[number] for number in sorted(self._known)]

    def open(self) -> list[Known]:
        """Return those of which something may run or wait."""
        return [known for known in self.all() if not known.over]

    def get(self, number: int) -> Known | None:
        """Return one that was read."""
        return self._known.get(number)

    def reserve(
        self, target: str, workers: int, offer: Offer, plan: Plan, settings: Mapping[str, Json], at: float
    ) -> Known | None:
        """Record what is about to be started, as the next number; return None where somebody else took it.

        Whoever gets None reads and decides again. `at`: seconds since the epoch.
        """
        record = Submission(
            number=max(self._known, default=0) + 1,
            token=drawn_token(self._rng),
            author=self._author,
            at=at,
            target=target,
            workers=workers,
            instance_type=offer.instance_type,
            lifecycle=offer.lifecycle,
            plan=plan.to_json(),
            settings=settings,
            over=self._over(),
        )
        settled = create_settled(self._store, record.key, record.to_bytes(), wait=self._wait)
        self._read(record.number, 1)
        return self._known[record.number] if settled.mine else None

    def add(
        self,
        known: Known,
        kind: StepKind,
        at: float,
        *,
        workers: int = 0,
        jobs: tuple[str, ...] = (),
        refusal: Refusal | None = None,
        message: str = "",
    ) -> bool:
        """Record what came of a submission as its next step; return False where another step took that place."""
        step = SubmissionStep(
            number=known.number,
            step=len(known.steps) + 2,
            token=drawn_token(self._rng),
            author=self._author,
            at=at,
            kind=kind,
            workers=workers,
            jobs=jobs,
            refusal=refusal or "",
            message=message[:1000],
        )
        settled = create_settled(self._store, step.key, step.to_bytes(), wait=self._wait)
        self._read(step.number, step.step)
        return settled.mine

    def _over(self) -> int:
        """Return the number up to which all are over, as far as has been read."""
        open_ones = (known.number for known in self._known.values() if not known.over)
        return min(open_ones, default=max(self._known, default=0) + 1) - 1

    def _worth_reading(self, newest: int) -> int:
        """Return the lowest number that one who begins has to read."""
        self._read(newest, 1)
        known = self._known.get(newest)
        return min(known.record.over + 1, newest - RECENT + 1) if known else 0

    def _read(self, number: int, step: int) -> None:
        known = self._known.get(number)
        if known is not None and step < len(known.steps) + 2:
            return
        key = submission_key(number, step)
        blob = self._store.get(key)
        if not isinstance(blob, Blob):
            return  # a listing ahead of its time
        if step == 1:
            record = Submission.from_bytes(blob.data, number)
            self._known[number] = Known(record, _order(record), blob.modified)
        elif known is not None and step == len(known.steps) + 2:
            known.steps.append(SubmissionStep.from_bytes(blob.data, number, step))
            known.spoken_at = blob.modified


def _order(record: Submission) -> Order:
    try:
        return Order.of(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRecord(record.key, f"its plan cannot be read: {error}") from None
