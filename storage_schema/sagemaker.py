"""How a SageMaker training job carries a worker's arguments: as hyper-parameters, whose values are texts.

The launcher writes them, ``hpo-pipe train`` reads them back, and the names are in this one table. A flag is ``true`` or
``false``; what may be repeated, and a command, is a JSON list of texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage_schema.errors import UserError, nearest

STUDY = "study"
COMMAND = "command"
TEXT, FLAG, MANY = "text", "flag", "many"
MAX_HYPERPARAMETERS = 100
MAX_NAME, MAX_VALUE = 256, 2500
"""Characters that SageMaker allows."""
MAX_ITEMS = 100
IGNORED = ("sagemaker_", "_tuning_objective_metric")
"""What SageMaker's own tools add begins so, and is not for a worker."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of ``hpo-pipe worker``."""

    flag: str
    kind: str = TEXT
    negative: str = ""
    """Of a flag: the option that says no; empty where leaving it out does."""


OPTIONS = {
    "study_sha256": Option("--study-sha256"),
    "slots": Option("--slots"),
    "gpus_per_trial": Option("--gpus-per-trial"),
    "idle_timeout": Option("--idle-timeout"),
    "max_runtime": Option("--max-runtime"),
    "max_cost": Option("--max-cost"),
    "grace": Option("--grace"),
    "notices": Option("--notices"),
    "on_rebalance": Option("--on-rebalance"),
    "drain": Option("--drain", FLAG),
    "coordinator": Option("--coordinator", FLAG, "--no-coordinator"),
    "code": Option("--code"),
    "secret": Option("--secret", MANY),
    "secret_variable": Option("--secret-variable", MANY),
    "withhold": Option("--withhold", MANY),
    "price_per_hour": Option("--price-per-hour"),
    "workdir": Option("--workdir"),
    "name": Option("--name"),
}
"""Hyper-parameter to option, but Slurm's; beside them ``study``, the URL, and ``command``, what is behind ``--``."""


def hyperparameters(
    url: str,
    options: Mapping[str, str | bool | Sequence[str]],
    command: Sequence[str] = (),
) -> dict[str, str]:
    """Return the HyperParameters of a training job that is to be a worker.

    Args:
        url: of the study.
        options: by their names in `OPTIONS`: a text, for flags a bool, for what may be repeated a list of texts.
        command: in place of the study's own.

    Raises:
        UserError: a name that is not known, a value of the wrong kind, or more than SageMaker takes.
    """
    found = {STUDY: url}
    for name, value in options.items():
        kind = _option(name).kind
        if kind == FLAG and isinstance(value, bool):
            found[name] = json.dumps(value)
        elif kind == MANY and not isinstance(value, str | bool):
            found[name] = json.dumps(list(value)) if value else ""
        elif kind == TEXT and isinstance(value, str):
            found[name] = value
        else:
            wanted = {FLAG: "true or false", MANY: "a list of texts", TEXT: "a text"}[kind]
            raise UserError(f"hyper-parameter {name} is {value!r}, expected {wanted}")
    if command:
        found[COMMAND] = json.dumps(list(command))
    found = {name: value for name, value in found.items() if value}
    return _bounded(found)


def worker_arguments(given: Mapping[str, str]) -> list[str]:
    """Return the arguments of ``hpo-pipe worker`` that a job's HyperParameters stand for.

    A value in quotation marks is read as JSON: SageMaker's Python SDK writes texts so. An empty one is not there.

    Raises:
        UserError: a name that is not known, no study, or a value that is not what its name wants.
    """
    values = {
        name: _unquoted(value) for name, value in _bounded(given).items() if not name.startswith(IGNORED)
    }
    values = {name: value for name, value in values.items() if value}
    url = values.pop(STUDY, "")
    if not url:
        raise UserError(f"hyper-parameter {STUDY} is missing: the study's URL")
    command = _texts(COMMAND, values.pop(COMMAND, ""))
    arguments: list[str] = []
    for name in sorted(values):
        arguments += _arguments(name, _option(name), values[name])
    return [*arguments, "--", url, *command]


def _arguments(name: str, option: Option, value: str) -> list[str]:
    if option.kind == MANY:
        return [f"{option.flag}={text}" for text in _texts(name, value)]
    if option.kind == TEXT:
        return [f"{option.flag}={value}"]
    if value.lower() not in ("true", "false"):
        raise UserError(f"hyper-parameter {name} is {value[:80]!r}, expected true or false")
    chosen = option.flag if value.lower() == "true" else option.negative
    return [chosen] if chosen else []


def _option(name: str) -> Option:
    option = OPTIONS.get(name)
    if option is None:
        allowed = (STUDY, *OPTIONS, COMMAND)
        guess = nearest(name, allowed)
        raise UserError(f"hyper-parameter {name[:80]!r} is not known{guess}, allowed: {', '.join(allowed)}")
    return option


def _texts(name: str, value: str) -> list[str]:
    if not value:
        return []
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) > MAX_ITEMS or not all(_is_text(item) for item in found):
        raise UserError(
            f"hyper-parameter {name} is {value[:80]!r}, expected a JSON list of at most {MAX_ITEMS} texts"
        )
    return found


def _is_text(item: object) -> bool:
    return isinstance(item, str) and item != "" and "\0" not in item


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value


def _bounded(found: Mapping[str, str]) -> dict[str, str]:
    if len(found) > MAX_HYPERPARAMETERS:
        raise UserError(f"{len(found)} hyper-parameters, SageMaker takes at most {MAX_HYPERPARAMETERS}")
    for name, value in found.items():
        if not 1 <= len(name) <= MAX_NAME or len(value) > MAX_VALUE or "\0" in value:
            allowed = f"at most {MAX_VALUE} characters, and a name of 1 to {MAX_NAME}"
            raise UserError(f"hyper-parameter {name[:80]!r} has {len(value)} characters, expected {allowed}")
    return dict(found)
