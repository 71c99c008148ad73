"""Priors: where the user believes good values to lie, as densities over a parameter's unit interval.

Numbers and ordinals have a normal density around the user's value, cut off at the ends of the interval, with
standard deviation 1 - confidence (Mallik et al. 2023, arXiv:2306.12370, in the form that NePS gives it). Listed
values have probabilities, each spread over its value's cell. Every density integrates to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.choices import CategoricalParameter, ConstantParameter, OrdinalParameter, is_real
from hpo_pipe.normal import log_pdf, quantile, share_below
from hpo_pipe.options import Refused, dotted, mistake, unknown_names
from hpo_pipe.parameters import Parameter
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError

CONFIDENCES = {"low": 0.25, "medium": 0.5, "high": 0.75}
_DECIMALS = 12
"""Of a draw in the unit interval: its last bits differ between machines."""
_MARGIN = 1e-6
"""A draw keeps this share of its cell away from the cell's borders, where rounding could put it next door."""


class Prior(Protocol):
    """A density over [0, 1]."""

    def log_density(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logarithm of the density at `u`, shape (n,), in [0, 1]."""
        ...

    def quantile(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse of the distribution function: uniform draws, shape (n,), become draws of the prior."""
        ...

    def to_json(self) -> dict[str, Json]:
        """Return what stands in the parameter's table."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalPrior:
    """A normal density around `mean`, cut off at 0 and 1."""

    value: Json
    confidence: str | float
    """As the user wrote it."""
    mean: float
    """Where `value` lies."""
    sd: float
    _below: float = field(init=False, repr=False, compare=False)
    """The share of the whole normal distribution that lies below 0."""
    _within: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        below = share_below(-self.mean / self.sd)
        object.__setattr__(self, "_below", below)
        object.__setattr__(self, "_within", share_below((1.0 - self.mean) / self.sd) - below)

    def log_density(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log density at `u`."""
        found: NDArray[np.float64] = log_pdf((u - self.mean) / self.sd) - math.log(self.sd * self._within)
        return found

    def quantile(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the share `p` of the prior lies below."""
        u = self.mean + self.sd * quantile(self._below + p * self._within)
        return np.clip(np.round(u, _DECIMALS), 0.0, 1.0)

    def to_json(self) -> dict[str, Json]:
        """Return the value and its confidence."""
        return {"prior": {"value": self.value, "confidence": self.confidence}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPrior:
    """A probability for each value of a list."""

    given: dict[str, Json]
    """As the user wrote it: ``prior`` or ``probabilities``."""
    shares: tuple[float, ...]
    """The probabilities; they sum to 1."""
    _logs: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _starts: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shares = np.array(self.shares)
        object.__setattr__(self, "_logs", np.log(shares * len(shares)))
        object.__setattr__(self, "_starts", np.concatenate([[0.0], np.cumsum(shares)[:-1]]))

    def log_density(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log density at `u`: even over each cell. NaN where `u` is."""
        cells = np.clip(np.nan_to_num(u) * len(self.shares), 0, len(self.shares) - 1).astype(np.intp)
        found: NDArray[np.float64] = np.where(np.isnan(u), np.nan, self._logs[cells])
        return found

    def quantile(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the share `p` of the prior lies below."""
        cells = np.searchsorted(self._starts, p, side="right") - 1
        within = (p - self._starts[cells]) / np.array(self.shares)[cells]
        found: NDArray[np.float64] = (cells + np.clip(within, _MARGIN, 1.0 - _MARGIN)) / len(self.shares)
        return found

    def to_json(self) -> dict[str, Json]:
        """Return what the user wrote."""
        return dict(self.given)


def read_prior(options: dict[str, Json], parameter: Parameter, where: str, key: str) -> Prior | None:
    """Return the prior that a parameter's ``prior`` or ``probabilities`` state, or None where there is neither.

    Raises:
        StudyFileError: not a prior, or not one for this kind of parameter.
    """
    given = {name: options[name] for name in ("prior", "probabilities") if options.get(name) is not None}
    if not given:
        return None
    if len(given) == 2:
        raise mistake(
            where, dotted(key, "prior"), given["prior"], "none beside probabilities: one of the two"
        )
    if isinstance(parameter, ConstantParameter):
        raise StudyFileError(f"{where}: {key}: a constant has neither prior nor probabilities")
    if "probabilities" in given:
        return _probabilities(given["probabilities"], parameter, where, dotted(key, "probabilities"))
    return _around(given["prior"], parameter, where, dotted(key, "prior"))


def _around(found: Json, parameter: Parameter, where: str, key: str) -> Prior:
    if not isinstance(found, dict):
        raise mistake(where, key, found, 'a table such as { value = 0.1, confidence = "medium" }')
    if lines := unknown_names(found, ("value", "confidence"), where, key):
        raise StudyFileError("\n".join(lines))
    if "value" not in found:
        raise mistake(where, dotted(key, "value"), None, "where good values are thought to lie")
    try:
        value = parameter.checked(found["value"])
    except Refused as refused:
        raise mistake(where, dotted(key, "value"), refused.found, refused.allowed) from None
    confidence = found.get("confidence", "medium")
    share = _confidence(confidence, where, dotted(key, "confidence"))
    if not isinstance(parameter, CategoricalParameter) or isinstance(parameter, OrdinalParameter):
        mean = parameter.encode(value)
        return NormalPrior(value=value, confidence=confidence, mean=mean, sd=1.0 - share)
    count = parameter.size
    favoured = max(share, 1.0 / count)  # of two values, "low" would else speak against the one that it names
    rest = (1.0 - favoured) / (count - 1) if count > 1 else 0.0
    shares = tuple(favoured if i == parameter.index(value) else rest for i in range(count))
    return CellPrior(given={"prior": {"value": value, "confidence": confidence}}, shares=shares)


def _confidence(found: Json, where: str, key: str) -> float:
    if isinstance(found, str) and found in CONFIDENCES:
        return CONFIDENCES[found]
    if is_real(found) and 0.0 < found < 1.0:
        return float(found)
    raise mistake(where, key, found, "low, medium, high, or a number between 0 and 1")


def _probabilities(found: Json, parameter: Parameter, where: str, key: str) -> Prior:
    if not isinstance(parameter, CategoricalParameter):
        raise mistake(where, key, found, "prior = { value, confidence }: probabilities are for listed values")
    numbers = list(found) if isinstance(found, list | tuple) else []
    if len(numbers) != parameter.size or not all(is_real(n) and math.isfinite(n) and n > 0 for n in numbers):
        raise mistake(where, key, found, f"{parameter.size} numbers greater than 0, one for each value")
    total = math.fsum(numbers)
    shares = tuple(number / total for number in numbers)
    if not math.isfinite(total) or not all(shares):
        raise mistake(where, key, found, "numbers of which each is a share of their sum")
    return CellPrior(given={"probabilities": numbers}, shares=shares)
