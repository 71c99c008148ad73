"""A benchmark function of the user's: ``module:name``. This runs user code, in this process.

Either a function ``curve(parameters, units)``, or an object with such a method and, if it likes, with

- ``space``: a list of parameters as in ``study.json``, or the table ``[parameters]`` of a study file;
- ``units``: of a whole training (100);
- ``best``: the best value that any configuration can report.

A curve is a pair (values, seconds): the objective after 1, 2, ... units, and the time that this has taken so far, or a
single number for both: seconds a unit. Fewer values than were asked for mean that training crashes after the last one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpo_pipe.simulate.curves import Curve
from storage_schema.codec import Json
from storage_schema.errors import UserError


class FunctionCurves:
    """The user's world of curves.

    Args:
        named: ``module:name``; modules are looked for in `folder` first.

    Raises:
        UserError: no such module or object, or one that cannot be called.
    """

    def __init__(self, named: str, folder: Path) -> None:
        self._named = named
        self._object = _found(named, folder)
        self._curve = getattr(self._object, "curve", self._object)
        if not callable(self._curve):
            raise UserError(f"{named} is neither a function nor has it a method curve(parameters, units)")
        self.best: float | None = self._number("best")

    @property
    def space(self) -> Json:
        """What it says of the space, or None."""
        return getattr(self._object, "space", None)

    @property
    def units(self) -> int:
        """Units of a whole training."""
        return int(self._number("units") or 100)

    def curve(self, parameters: Mapping[str, Json], units: int) -> Curve:
        """Return the user's curve; raises UserError for what is none."""
        try:
            found = self._curve(dict(parameters), units)
            values, seconds = found
            values = np.atleast_1d(np.asarray(values, dtype=np.float64))
            seconds = np.asarray(seconds, dtype=np.float64)
        except Exception as error:  # a stranger's code
            called = f"{self._named}({dict(parameters)}, {units})"
            raise UserError(
                f"{called}: {type(error).__name__}: {error}; expected (values, seconds)"
            ) from error
        if seconds.ndim == 0:
            seconds = seconds * np.arange(1, max(len(values), 1) + 1)
        self._check(values, seconds)
        return Curve(values, seconds)

    def _check(self, values: Any, seconds: Any) -> None:
        rising = (
            seconds.ndim == 1 and np.isfinite(seconds).all() and (np.diff(seconds, prepend=0.0) > 0).all()
        )
        if values.ndim != 1 or len(seconds) < len(values) or not rising:
            raise UserError(
                f"{self._named}: values have shape {values.shape} and seconds {seconds.shape}; expected one value "
                "for each unit, and seconds that rise from above 0, or one number: seconds a unit"
            )

    def _number(self, name: str) -> float | None:
        found = getattr(self._object, name, None)
        if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
            raise UserError(f"{self._named}.{name} is {found!r}, expected a number")
        return found


def _found(named: str, folder: Path) -> Any:
    module, colon, name = named.partition(":")
    if not (module and colon and name):
        raise UserError(f"{named!r} is no entry point; expected module:name, as in bench:curve")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{named}: {error}") from error
    return found
