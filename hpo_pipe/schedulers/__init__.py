"""Schedulers: who trains how far. Adding one means one file, and one line in :data:`SCHEDULERS`."""

from __future__ import annotations

from typing import Any

from hpo_pipe.registry import find, named, options_of
from hpo_pipe.rungs import levels
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.schedulers.asha_stopping import AshaStoppingScheduler
from hpo_pipe.schedulers.curve_fitting import CurveFitting
from hpo_pipe.schedulers.curve_regression import CurveRegression
from hpo_pipe.schedulers.d_asha import DelayedAshaScheduler
from hpo_pipe.schedulers.full_training import FullTraining
from hpo_pipe.schedulers.hyperband import HyperbandScheduler, SuccessiveHalvingScheduler
from hpo_pipe.schedulers.median import MedianStopping
from hpo_pipe.schedulers.pasha import PashaScheduler
from hpo_pipe.schedulers.pb2 import Pb2Scheduler
from hpo_pipe.schedulers.pbt import PbtScheduler
from hpo_pipe.view import Scheduler
from storage_schema.records import Study

SCHEDULERS: dict[str, type[Any]] = {
    "none": FullTraining,
    "median": MedianStopping,
    "curve_fitting": CurveFitting,
    "curve_regression": CurveRegression,
    "successive_halving": SuccessiveHalvingScheduler,
    "hyperband": HyperbandScheduler,
    "asha": AshaScheduler,
    "asha_stopping": AshaStoppingScheduler,
    "d_asha": DelayedAshaScheduler,
    "pasha": PashaScheduler,
    "pbt": PbtScheduler,
    "pb2": Pb2Scheduler,
}
"""Name to class; called with its ``Options``. Others come in as entry points ``hpo_pipe.schedulers``.

A class says with ``needs_resource`` whether it compares trials below the greatest resource, and may have a static
``check(options, rungs)`` that raises Refused; an option ``eta`` is filled in from the study's resource. It may name its
own levels with a static ``levels(options, low, high)``, which may raise Refused; say with ``finite`` that it comes to
an end by itself; and with ``keeps_checkpoints`` that trials may start where any checkpoint of another trial ends.
"""

GROUP = "hpo_pipe.schedulers"

__all__ = ["GROUP", "SCHEDULERS", "kept_checkpoints", "levels_of", "milestones_of", "scheduler_of"]


def levels_of(scheduler: type[Any], options: Any, low: int, high: int, eta: int) -> tuple[int, ...]:
    """Return the levels at which a scheduler compares trials, from `low` units on: rising, the last one `high`.

    Raises:
        Refused: its options do not go with these units.
    """
    if hasattr(scheduler, "levels"):
        own: tuple[int, ...] = scheduler.levels(options, low, high)
        return own
    return levels(low, high, eta) if scheduler.needs_resource else (high,)


def kept_checkpoints(scheduler: type[Any]) -> str:
    """Return what workers are to keep of the checkpoints of specs that are done, for a study with this scheduler."""
    return "all" if getattr(scheduler, "keeps_checkpoints", False) else "newest"


def milestones_of(scheduler: type[Any], options: Any, rungs: tuple[int, ...]) -> tuple[int, ...]:
    """Return the resources at which a scheduler looks at running trials; none for most."""
    milestones: tuple[int, ...] = (
        scheduler.milestones(options, rungs) if hasattr(scheduler, "milestones") else ()
    )
    return milestones


def scheduler_of(study: Study) -> Scheduler:
    """Return the scheduler that a study names.

    Raises:
        StudyFileError: no such scheduler here, or options that it does not take.
    """
    given = named(study.scheduler, "study.json", "scheduler")
    algorithm = find(GROUP, SCHEDULERS, given["name"], "study.json", "scheduler.name")
    scheduler: Scheduler = algorithm(options_of(algorithm, given, "study.json", "scheduler"))
    return scheduler
