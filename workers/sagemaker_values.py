"""Hyper-parameters as SageMaker writes them, and as its training toolkit hands them to a script.

SageMaker knows only strings. The toolkit reads each one as JSON where it can, and passes what it read on three ways:
``SM_HPS`` and ``SM_HP_<NAME>``, and the arguments ``--name value``, in the order of the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from storage_schema.codec import Json
from workers.command import value_text

_TOOLKITS_OWN = ("_tuning_objective_metric", "default_user_module_name")
_PREFIX = "sagemaker_"


def strings(parameters: Mapping[str, Json]) -> dict[str, str]:
    """Return what ``hyperparameters.json`` holds."""
    return {name: value_text(value) for name, value in parameters.items()}


def read_back(given: Mapping[str, str]) -> dict[str, Any]:
    """Return what the toolkit makes of the strings, without its own settings (``sagemaker_...``)."""
    return {
        name: _value(text)
        for name, text in given.items()
        if not name.startswith(_PREFIX) and name not in _TOOLKITS_OWN
    }


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Return the arguments: ``--name value``, or ``-n value`` for a name of one letter."""
    found: list[str] = []
    for name in sorted(values):
        found += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(values[name])]
    return found


def variable(value: Any) -> str:
    """Return a value as an environment variable's."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _argument(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{name}={inner}" for name, inner in sorted(value.items()))
    return str(value)
