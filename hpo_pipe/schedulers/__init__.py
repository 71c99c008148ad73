"""Schedulers: who trains how far. Adding one means one file, and one line in :data:`SCHEDULERS`."""

from __future__ import annotations

from typing import Any

from hpo_pipe.registry import find, named, options_of
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.schedulers.asha_stopping import AshaStoppingScheduler
from hpo_pipe.schedulers.curve_fitting import CurveFitting
from hpo_pipe.schedulers.curve_regression import CurveRegression
from hpo_pipe.schedulers.d_asha import DelayedAshaScheduler
from hpo_pipe.schedulers.full_training import FullTraining
from hpo_pipe.schedulers.hyperband import HyperbandScheduler, SuccessiveHalvingScheduler
from hpo_pipe.schedulers.median import MedianStopping
from hpo_pipe.schedulers.pasha import PashaScheduler
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
}
"""Name to class; called with its ``Options``. Others come in as entry points ``hpo_pipe.schedulers``.

A class says with ``needs_resource`` whether it compares trials below the greatest resource, and may have a static
``check(options, rungs)`` that raises Refused; an option ``eta`` is filled in from the study's resource.
"""

GROUP = "hpo_pipe.schedulers"

__all__ = ["GROUP", "SCHEDULERS", "milestones_of", "scheduler_of"]


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
