"""Small worlds whose curves are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo_pipe.conformance import toy_objective, toy_study
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.simulate.curves import Curve
from storage_schema.records import Limits, Study

TOP = 27


class ToyCurves:
    """The toy objective; an epoch takes as many seconds as there are layers. Crashes where told to."""

    best: float | None = None

    def __init__(self, crash_from: float = np.inf, crash_at: int = 2) -> None:
        self.crash_from, self.crash_at = crash_from, crash_at

    def curve(self, parameters: Mapping[str, Any], units: int) -> Curve:
        values = np.array([toy_objective(parameters, unit) for unit in range(1, units + 1)])
        seconds = np.arange(1.0, units + 1) * parameters["layers"]
        if parameters["layers"] >= self.crash_from:
            return Curve(values[: self.crash_at], seconds)
        return Curve(values, seconds)


def study(
    scheduler: str = "asha", *, searcher: str = "random", trials: int | None = 40, seed: int = 1
) -> Study:
    return toy_study(
        scheduler={"name": scheduler},
        searcher={"name": searcher},
        limits=Limits(trials=trials),
        top=TOP,
        seed=seed,
    )


ALL = sorted(SCHEDULERS)
