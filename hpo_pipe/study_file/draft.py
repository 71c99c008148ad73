"""A study as its author wrote it: everything but what only its creation knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hpo_pipe.space import Space
from hpo_pipe.study_file.tables import WarmStartTable
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError
from storage_schema.records import Limits, Metric, Program, Resource, Study, Timing

LEASE_PER_FLUSH = 3
"""A holder must be able to miss a heartbeat or two before its work is taken from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDraft:
    """What a study file says."""

    where: str
    """The file, for errors."""
    name: str
    program: Program
    metrics: tuple[Metric, ...]
    space: Space
    resource: Resource | None
    scheduler: Json
    searcher: Json
    limits: Limits
    retries: int
    max_attempts: int
    keep_checkpoints: str = "newest"
    timing: Mapping[str, float]
    """The fields of Timing that the file sets, in seconds."""
    enqueued: tuple[dict[str, Json], ...] = ()
    warm_start: WarmStartTable | None = None
    """Other studies to start from; they are read when the study is created."""
    seed: int | None = None
    notes: tuple[str, ...] = ()
    """Sentences for the user: what was filled in, or read in another sense than it was written in."""

    def study(self, *, token: str, created_at: float, seed: int, proof: Json, timing: Timing) -> Study:
        """Return the record, without what it takes over from other studies.

        Args:
            token: random, of its author.
            created_at: the author's clock, seconds since the epoch.
            seed: where the file names none.
            proof: what `doctor` found out about the store.
            timing: the store's defaults (:func:`default_timing`), for what the file does not set.

        Raises:
            StudyFileError: the file's times do not go with each other.
        """
        times = replace(timing, **dict(self.timing))
        if times.lease_s < LEASE_PER_FLUSH * times.flush_s:
            raise StudyFileError(
                f"{self.where}: worker.lease is {times.lease_s:g} s, expected at least {LEASE_PER_FLUSH} times "
                f"worker.flush ({times.flush_s:g} s)"
            )
        return Study(
            name=self.name,
            token=token,
            created_at=created_at,
            seed=seed if self.seed is None else self.seed,
            space=tuple(self.space.to_json()),
            constraints=self.space.constraints_json(),
            metrics=self.metrics,
            resource=self.resource,
            scheduler=self.scheduler,
            searcher=self.searcher,
            limits=self.limits,
            program=self.program,
            timing=times,
            retries=self.retries,
            max_attempts=self.max_attempts,
            keep_checkpoints=self.keep_checkpoints,
            enqueued=self.enqueued,
            proof=proof,
        )


def default_timing(url: str) -> Timing:
    """Return the times that suit the store of a study URL: a folder is looked at often, a bucket costs money."""
    if url.partition("://")[0] in ("file", "memory"):
        return Timing(flush_s=2.0, lease_s=20.0, tick_s=1.0)
    return Timing(flush_s=60.0, lease_s=240.0, tick_s=10.0)
