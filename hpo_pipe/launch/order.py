"""What is to be started, on any target: values, without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from storage_schema.codec import Json
from storage_schema.machine import ON_DEMAND, SPOT, VARIABLES
from storage_schema.records import Submission

SPOT_THEN_ON_DEMAND = "spot-then-on-demand"
HIRING = (SPOT, ON_DEMAND, SPOT_THEN_ON_DEMAND)
"""How machines are hired; empty: the target's own default."""

_VARIABLE_OF = {fact: name for name, fact in VARIABLES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way of hiring a machine. Empty: the target has no such choice."""

    instance_type: str = ""
    """Several, with commas between them, where the provider chooses among them."""
    lifecycle: str = ""
    """``spot`` or ``on-demand``."""

    def __str__(self) -> str:
        return " ".join(part for part in (self.instance_type, self.lifecycle) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one machine of an offer costs."""

    instance_type: str
    lifecycle: str
    dollars_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the workers are to be like. Kept in the study's record of the submission, so without secrets."""

    url: str
    study: str
    """The study's name."""
    study_sha256: str
    """Workers run this very study."""
    gpus: int | None = None
    """GPUs of each worker's machine; None: all that it has."""
    gpus_per_trial: int | None = None
    slots: int | None = None
    """Trials at a time; None: one for each GPU, or for each `gpus_per_trial` of them."""
    hiring: str = ""
    """One of :data:`HIRING`, or empty."""
    idle_timeout_s: float = 300.0
    max_runtime_s: float | None = None
    image: str = ""
    code: str = ""
    """SHA-256 of a packed folder in the study's store that trials run in."""
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    """Environment variable to reference; what references look like is the target's."""
    tags: tuple[tuple[str, str], ...] = ()
    prices: tuple[Price, ...] = ()
    """As far as they are known."""
    arguments: tuple[str, ...] = ()
    """Further options of the worker."""

    def slots_per_worker(self) -> int | None:
        """Return how many trials one worker runs at a time, or None where only its machine will show."""
        if self.slots is not None:
            return self.slots
        if self.gpus is None:
            return None
        return max(1, self.gpus // self.gpus_per_trial) if self.gpus_per_trial else max(1, self.gpus)

    def to_json(self) -> dict[str, Json]:
        """Return what a record keeps."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN}
        return plain | {
            "env": dict(self.env),
            "secrets": dict(self.secrets),
            "tags": dict(self.tags),
            "prices": [[p.instance_type, p.lifecycle, p.dollars_per_hour] for p in self.prices],
            "arguments": list(self.arguments),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Plan:
        """Read back what :meth:`to_json` wrote; raises ValueError, TypeError or KeyError for anything else."""
        plain = {name: value[name] for name in _PLAIN}
        return cls(
            **plain,
            env=tuple(sorted(value["env"].items())),
            secrets=tuple(sorted(value["secrets"].items())),
            tags=tuple(sorted(value["tags"].items())),
            prices=tuple(
                Price(instance_type=t, lifecycle=c, dollars_per_hour=d) for t, c, d in value["prices"]
            ),
            arguments=tuple(value["arguments"]),
        )


_PLAIN = (
    "url",
    "study",
    "study_sha256",
    "gpus",
    "gpus_per_trial",
    "slots",
    "hiring",
    "idle_timeout_s",
    "max_runtime_s",
    "image",
    "code",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One submission, as a target sees it."""

    number: int
    target: str
    workers: int
    offer: Offer
    plan: Plan
    settings: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Submission) -> Order:
        """Read the record of a submission; raises ValueError, TypeError or KeyError where its plan is none."""
        return cls(
            number=record.number,
            target=record.target,
            workers=record.workers,
            offer=Offer(instance_type=record.instance_type, lifecycle=record.lifecycle),
            plan=Plan.from_json(record.plan),
            settings=record.settings,
        )

    @property
    def name(self) -> str:
        """The submission's name at the provider, unique to it: at most 42 of a-z, 0-9 and ``-``."""
        study = re.sub(r"[^a-z0-9]+", "-", self.plan.study.lower()).strip("-")[:20].strip("-") or "study"
        place = sha256(f"{self.plan.url}\n{self.plan.study_sha256}".encode()).hexdigest()[:8]
        return f"hpo-{study}-{place}-{self.number}"

    def job_name(self, index: int) -> str:
        """Return the name of one worker's job, at most 47 characters; `index` counts from 0."""
        return f"{self.name}-{index}"

    def worker_arguments(
        self, grace_s: float | None, *, secrets: bool = True, handed: Iterable[str] = ()
    ) -> list[str]:
        """Return what stands behind ``hpo-pipe worker``: the URL first, the plan's further options last.

        Args:
            grace_s: see :attr:`Target.grace_s`.
            secrets: the worker reads its secrets; False where the provider hands them to it.
            handed: variables that the provider fills with secrets, which are not to be in what trials print.
        """
        plan = self.plan
        refs = [text for name, ref in plan.secrets for text in ("--secret", f"{name}={ref}")]
        known = [text for name in handed for text in ("--secret-variable", name)]
        given = {
            "--study-sha256": plan.study_sha256,
            "--slots": plan.slots,
            "--gpus-per-trial": plan.gpus_per_trial,
            "--idle-timeout": plan.idle_timeout_s,
            "--max-runtime": plan.max_runtime_s,
            "--grace": grace_s,
            "--code": plan.code or None,
        }
        options = [text for name, v in given.items() if v is not None for text in (name, _text(v))]
        return [plan.url, *(refs if secrets else ()), *known, *options, *plan.arguments]

    def worker_environment(self, region: str = "") -> dict[str, str]:
        """Return the variables of a worker, secrets apart."""
        facts = {
            "provider": self.target,
            "instance_type": self.offer.instance_type,
            "region": region,
            "lifecycle": self.offer.lifecycle,
            "price_per_hour": self._price(),
            "submission": str(self.number),
        }
        return dict(self.plan.env) | {_VARIABLE_OF[fact]: value for fact, value in facts.items() if value}

    def tags(self) -> dict[str, str]:
        """Return what the provider's objects are tagged with: the user's own, and whose they are."""
        own = {"hpo-pipe:study": self.plan.study, "hpo-pipe:submission": self.name}
        return dict(self.plan.tags) | own

    def _price(self) -> str:
        offer = (self.offer.instance_type, self.offer.lifecycle)
        found = [p.dollars_per_hour for p in self.plan.prices if (p.instance_type, p.lifecycle) == offer]
        return repr(found[0]) if found else ""


def _text(value: Json) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
