"""What one seed is: the study, the crew, the weather. Drawn from the seed, and written down whole in a seed file.

A seed file keeps the recipe, not only the number, so that a later change to how recipes are drawn does not change
which kind of study and weather a kept seed means. What it cannot keep is the exact schedule: another number of
requests in the product draws other faults at other requests. A bug that a seed found therefore gets a test of its own
beside the kept seed.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tests.simulation.faults import Fault

READ_FAULTS = (Fault.TRUNCATED, Fault.STALE, Fault.SHORT, Fault.OLD_TIMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How one worker is started, again and again."""

    slots: int = 1
    starts_coordinator: bool = True
    idle_timeout_s: float | None = None
    max_runtime_s: float | None = None
    drain: bool = False

    @property
    def patient(self) -> bool:
        """Whether it stays long enough to find that nobody decides, and to do it itself."""
        return self.idle_timeout_s is None and self.max_runtime_s is None and not self.drain


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that is drawn before the first event."""

    seed: int
    # the study
    trials: int = 4
    scheduler: str = "asha"
    searcher: str = "random"
    rungs: tuple[int, ...] | None = (1, 3, 9)
    retries: int = 1
    max_attempts: int = 20
    total_resource: int | None = None
    target: float | None = None
    flush_s: float = 1.0
    lease_s: float = 4.0
    tick_s: float = 1.0
    grace_s: float = 2.0
    machine_s: float | None = None
    """How long machines let a worker live after its first signal; None: nobody knows."""
    near: bool = False
    """A folder, as it were: requests cost nothing, and every chain is read in every tick."""
    pack_entries: int = 8
    # the crew
    coordinators: int = 1
    until_done: bool = True
    cron_s: float | None = None
    """A one-shot tick so often."""
    workers: tuple[WorkerPlan, ...] = (WorkerPlan(), WorkerPlan())
    proves: bool = False
    """Workers try the store at their start, as they really do; under heavy faults few would ever start."""
    # the trials
    epoch_s: float = 0.5
    save_every: int = 1
    """Epochs between two checkpoints; 0: none."""
    misdeeds: float = 0.0
    """Of how many attempts the trial misbehaves, though what it reports is true."""
    liars: float = 0.0
    """Of how many trials what is reported cannot be trusted."""
    # the weather
    clear_s: float = 30.0
    """When it clears up."""
    rates: dict[str, float] = field(default_factory=dict)
    storms: int = 0
    kill_every_s: float | None = None
    pause_every_s: float | None = None
    interrupt_every_s: float | None = None
    bad_clocks: bool = False
    jumping_clocks: bool = False
    """Monotonic clocks leap forward too."""
    rate_error: float = 0.0
    wishes: int = 0
    """How often a user steers the study."""
    disk_full: float = 0.0
    raw_truncation: bool = False
    coarse_times: bool = False
    """Reads tell modified times in whole seconds, as S3 does; listings in milliseconds."""

    @property
    def faithful(self) -> bool:
        """Whether listings and hints are what the store's contract promises, and the clocks good enough to judge by."""
        return not (
            any(self.rates.get(fault) for fault in (*READ_FAULTS, Fault.SENT_TWICE))
            or self.jumping_clocks
            or self.rate_error
        )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Recipe:
        """Read back what :meth:`to_json` gave, through JSON; fields that are gone are left out."""
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        known["workers"] = tuple(WorkerPlan(**plan) for plan in value["workers"])
        known["rungs"] = tuple(value["rungs"]) if value["rungs"] else None
        return cls(**known)

    def text(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.to_json(), sort_keys=True)


def drawn(seed: int) -> Recipe:
    """Draw the recipe of a seed."""
    rng = random.Random(f"recipe/{seed}")
    recipe = Recipe(seed=seed, **_study(rng), **_crew(rng), **_trials(rng), **_weather(rng))
    return _with_machine_s(_with_other_algorithms(recipe))


def _with_machine_s(recipe: Recipe) -> Recipe:
    """Draw from a stream of its own, so that all else of a seed stays what it was."""
    rng = random.Random(f"machine/{recipe.seed}")
    return replace(recipe, machine_s=rng.choice((None, None, 0.5, 2.0, 5.0, 30.0)))


OTHER_SCHEDULERS = {
    "asha": ("asha", "asha", "asha_stopping", "hyperband", "successive_halving", "d_asha", "pasha"),
    "none": ("none", "none", "median"),
}
"""By what was drawn first: a part of the seeds that promote, and of those that train every trial in one go."""
OTHER_SEARCHERS = {"random": ("random",) * 8 + ("kde",) * 2, "sobol": ("sobol",) * 11 + ("gp",)}
"""Models are dear: few seeds, whose studies are small anyway."""


def _with_other_algorithms(recipe: Recipe) -> Recipe:
    """Draw anew who decides, from a stream of its own: crew, trials and weather of a seed stay what they were."""
    rng = random.Random(f"algorithms/{recipe.seed}")
    scheduler = rng.choice(OTHER_SCHEDULERS[recipe.scheduler]) if recipe.rungs else recipe.scheduler
    searcher = rng.choice(OTHER_SEARCHERS.get(recipe.searcher, (recipe.searcher,)))
    return replace(recipe, scheduler=scheduler, searcher=searcher)


def _study(rng: random.Random) -> dict[str, Any]:
    lease_s = rng.choice((3.0, 4.0, 6.0, 10.0))
    flush_s = lease_s / rng.choice((3, 4, 4, 6))
    scheduler = rng.choice(("asha", "asha", "none"))
    rungs = rng.choice(((1, 3), (1, 2, 4), (1, 3, 9), (2, 6)))
    if scheduler == "none" and rng.random() < 0.35:
        rungs = None
    return {
        "trials": rng.choice((2, 3, 3, 4, 5, 6, 9)),
        "scheduler": scheduler,
        "searcher": rng.choice(("random", "random", "sobol", "grid")),
        "rungs": rungs,
        "retries": rng.choice((0, 1, 2)),
        "max_attempts": rng.choice((2, 4, 8, 30)),
        "total_resource": rng.randint(6, 30) if rungs and rng.random() < 0.2 else None,
        "target": 0.02 if rng.random() < 0.1 else None,
        "flush_s": flush_s,
        "lease_s": lease_s,
        "tick_s": rng.choice((0.3, 1.0, 2.0)),
        "grace_s": rng.choice((0.5, 1.0, 3.0)),
        "near": rng.random() < 0.12,
        "pack_entries": rng.choice((2, 4, 8, 64)),
        "coarse_times": rng.random() < 0.5,
    }


def _crew(rng: random.Random) -> dict[str, Any]:
    coordinators = rng.choice((0, 1, 1, 1, 2, 3))
    alone = coordinators == 0
    return {
        "coordinators": coordinators,
        "until_done": rng.random() < 0.5,
        "cron_s": rng.uniform(1.0, 8.0) if rng.random() < (0.4 if alone else 0.15) else None,
        "workers": tuple(_worker(rng, alone) for _ in range(rng.choice((1, 2, 2, 3, 4)))),
        "proves": rng.random() < 0.3,
    }


def _worker(rng: random.Random, alone: bool) -> WorkerPlan:
    return WorkerPlan(
        slots=rng.choice((1, 1, 2, 3)),
        starts_coordinator=alone or rng.random() < 0.5,
        idle_timeout_s=rng.uniform(2.0, 20.0) if rng.random() < 0.15 else None,
        max_runtime_s=rng.uniform(5.0, 40.0) if rng.random() < 0.1 else None,
        drain=rng.random() < 0.05,
    )


def _trials(rng: random.Random) -> dict[str, Any]:
    return {
        "epoch_s": rng.choice((0.1, 0.3, 0.5, 1.0, 2.0)),
        "save_every": rng.choice((0, 1, 1, 1, 2)),
        "misdeeds": rng.choice((0.0, 0.0, 0.15, 0.4)),
        "liars": rng.choice((0.0, 0.0, 0.0, 0.3)),
        "disk_full": rng.choice((0.0, 0.0, 0.0, 0.15)),
    }


def _weather(rng: random.Random) -> dict[str, Any]:
    mood = rng.random()
    return {
        "clear_s": rng.uniform(8.0, 45.0),
        "rates": _rates(rng, mood),
        "storms": rng.choice((0, 0, 1, 2, 3)) if mood > 0.15 else 0,
        "kill_every_s": rng.uniform(2.0, 20.0) if rng.random() < 0.45 else None,
        "pause_every_s": rng.uniform(2.0, 20.0) if rng.random() < 0.35 else None,
        "interrupt_every_s": rng.uniform(3.0, 30.0) if rng.random() < 0.25 else None,
        "bad_clocks": rng.random() < 0.6,
        "jumping_clocks": rng.random() < 0.15,
        "rate_error": 0.01 if rng.random() < 0.2 else 0.0,
        "wishes": rng.choice((0, 0, 1, 3, 8)) if rng.random() < 0.6 else 0,
        "raw_truncation": rng.random() < 0.25,
    }


def _rates(rng: random.Random, mood: float) -> dict[str, float]:
    """Draw how often each fault befalls a call: some seeds are calm, in some one fault rages, some are hell."""
    kinds = list(Fault)
    if mood < 0.12:
        return {}
    if mood < 0.42:  # a swarm finds more with one kind at a high rate than with all at a low one
        return {str(rng.choice(kinds)): rng.choice((0.02, 0.08, 0.2))}
    if mood < 0.75:
        return {str(kind): rng.uniform(0.002, 0.04) for kind in rng.sample(kinds, rng.randint(2, 5))}
    top = 0.02 if mood < 0.92 else 0.05
    rates = {str(kind): top * rng.random() for kind in kinds}
    rates[Fault.CRASH_BEFORE] *= 0.2
    rates[Fault.CRASH_AFTER] *= 0.2
    rates[Fault.PAUSE] *= 0.3
    return rates
