"""The tables of a study file, as :func:`~hpo_pipe.options.read_options` reads them."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.options import Refused, Seconds, option
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.keys import MAX_RESOURCE, MAX_TRIAL
from storage_schema.records import GOALS, Metric
from storage_schema.records.program import LAYOUTS
from storage_schema.records.warm_start import MAX_BEST_FIRST, MAX_SOURCES, MODES
from storage_schema.store import study_url

SAGEMAKER = {"TransferLearning": "transfer", "IdenticalDataAndAlgorithm": "identical"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """The top of the file."""

    name: str | None = None
    command: Json = None
    function: str | None = None
    layout: str | None = option(None, allowed=LAYOUTS)
    metric: Json = None
    parameters: Json = None
    forbidden: Json = None
    resource: Json = None
    algorithm: Json = None
    limits: Json = None
    worker: Json = None
    environment: Json = None
    enqueue: Json = None
    warm_start: Json = None
    seed: int | None = option(None, low=0, high=2**62)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTable:
    """``[metric]``, or each ``[[metric]]``: the first one is the objective."""

    name: str
    goal: str | None = option(None, allowed=GOALS)
    """Of the first one ``minimize`` by default; a further one with a goal is an objective as well."""
    min: float | None = None
    """What a result must keep within, of an objective or of any other metric."""
    max: float | None = None
    pattern: str | None = None
    """Finds the value in what a script prints; one group, around the number."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 200 or not self.name.isprintable() or self.name == "resource":
            raise Refused("name", self.name, "1 to 200 printable characters, and not 'resource'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise Refused("max", self.max, f"at least min ({self.min:g})")

    def metric(self, first: bool) -> Metric:
        """Return the record; the `first` one is an objective without saying so."""
        return Metric(
            name=self.name,
            goal=self.goal or "minimize",
            objective=not first and self.goal is not None,
            min=self.min,
            max=self.max,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceTable:
    """``[resource]``."""

    name: str = "epoch"
    min: int = option(1, low=1, high=MAX_RESOURCE)
    max: int = option(low=1, high=MAX_RESOURCE)
    eta: int = option(3, low=2, high=1000)

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 200 or not self.name.isprintable():
            raise Refused("name", self.name, "1 to 200 printable characters")
        if self.min > self.max:
            raise Refused("max", self.max, f"an integer of at least min ({self.min})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsTable:
    """``[limits]``."""

    trials: int | None = option(None, low=1, high=MAX_TRIAL)
    total_resource: int | None = option(None, low=1, high=2**62)
    wall_time: Seconds | None = option(None, low=1)
    gpu_hours: float | None = option(None, low=0)
    cost: float | None = option(None, low=0)
    target: float | None = None
    not_improving: int | None = option(None, low=1, high=MAX_TRIAL)
    convergence: float | None = option(None, low=0, high=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStartTable:
    """``[warm_start]``."""

    studies: tuple[str, ...]
    """Canonical study URLs."""
    mode: str = option("transfer", allowed=(*MODES, *SAGEMAKER))
    """What SageMaker calls TransferLearning and IdenticalDataAndAlgorithm goes by these names, too."""
    best_first: int = option(1, low=0, high=MAX_BEST_FIRST)

    def __post_init__(self) -> None:
        if not 1 <= len(self.studies) <= MAX_SOURCES or not all(isinstance(s, str) for s in self.studies):
            raise Refused("studies", f"an array of {len(self.studies)}", f"1 to {MAX_SOURCES} study URLs")
        try:
            urls = tuple(map(study_url, self.studies))
        except UserError as error:  # which may be about credentials: what was found is not repeated
            raise Refused("studies", "not right", f"study URLs; {error}") from None
        if len(set(urls)) < len(urls):
            raise Refused("studies", self.studies, "different studies")
        object.__setattr__(self, "studies", urls)
        object.__setattr__(self, "mode", SAGEMAKER.get(self.mode, self.mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTable:
    """``[worker]``."""

    retries: int = option(2, low=0, high=1000)
    max_attempts: int = option(50, low=1, high=4000)
    flush: Seconds | None = option(None, low=0.05, high=3600)
    lease: Seconds | None = option(None, low=0.15, high=86400)
    tick: Seconds | None = option(None, low=0.05, high=3600)
    grace: Seconds | None = option(None, low=0, high=3600)

    def timing(self) -> dict[str, float]:
        """Return the fields of Timing that are set."""
        given = {"flush_s": self.flush, "lease_s": self.lease, "tick_s": self.tick, "grace_s": self.grace}
        return {name: float(value) for name, value in given.items() if value is not None}
