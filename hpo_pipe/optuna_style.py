"""Optuna's vocabulary over a trial's parameters. Standard library only; imported by `hpo_pipe.trial`."""

from __future__ import annotations

import math

TYPE_CHECKING = False  # typing is not imported: this is what a training script pays for
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Suggestions:
    """``suggest_*`` for scripts that have them in their fingers.

    Inside a worker the study has already chosen: the value is looked up and must lie within the bounds that the
    script states. Outside, the middle of the range (the geometric one with ``log=True``) or the first choice
    stands in, unless :func:`hpo_pipe.trial.current_trial` was given a default.
    """

    params: dict[str, Any]
    alone: bool

    def suggest_float(
        self, name: str, low: float, high: float, *, log: bool = False, step: float | None = None
    ) -> float:
        """Return the parameter as a float.

        Raises:
            LookupError: the study has no such parameter, or it is inactive in this trial.
            ValueError: it lies outside of `low` to `high`, or is no number.
        """
        if self.alone and name not in self.params:
            self.params[name] = _middle(low, high, log, step)
        return _within(name, _number(name, _found(self.params, name)), low, high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False, step: int = 1) -> int:
        """Return the parameter as an int; raises as :meth:`suggest_float` does, also for 2.5."""
        if self.alone and name not in self.params:
            self.params[name] = round(_middle(low, high, log, step))
        value = _within(name, _number(name, _found(self.params, name)), low, high)
        if not value.is_integer():
            raise ValueError(f"parameter {name!r} is {value!r}, not a whole number")
        return int(value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the parameter, which must be one of `choices`; raises as :meth:`suggest_float` does."""
        if self.alone and name not in self.params:
            self.params[name] = choices[0]
        value = _found(self.params, name)
        for choice in choices:
            same_kind = isinstance(choice, bool) == isinstance(value, bool)
            if same_kind and (choice == value or (isinstance(choice, tuple) and list(choice) == value)):
                return choice
        raise ValueError(f"parameter {name!r} is {value!r}, not one of {', '.join(map(repr, choices))}")


def _found(params: dict[str, Any], name: str) -> Any:
    if name in params:
        return params[name]
    from difflib import get_close_matches  # only here: it takes a millisecond to import

    close = get_close_matches(name, list(params), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    has = ", ".join(params) or "none"
    raise LookupError(
        f"this trial has no parameter {name!r}{hint}; it has: {has}. Where the study has it, it is inactive here"
    )


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"parameter {name!r} is {value!r}, not a number")
    return float(value)


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(f"parameter {name!r} is {value!r}, outside of {low!r} to {high!r}")
    return value


def _middle(low: float, high: float, log: bool, step: float | None) -> float:
    """Return the middle of the range, on its grid if it has one."""
    if not low <= high or (log and low <= 0):
        raise ValueError(f"bad range {low!r} to {high!r}{' with log=True' if log else ''}")
    middle = math.sqrt(low) * math.sqrt(high) if log else low + (high - low) / 2
    if step:
        middle = low + math.floor((middle - low) / step) * step
    return min(max(middle, low), high)
