"""The objective and MetricDefinitions as ``[[metric]]`` tables with patterns."""

from __future__ import annotations

import re

from hpo_pipe.key_path import Path
from hpo_pipe.tuning_job.request import Request
from storage_schema.codec import Json
from storage_schema.errors import nearest

_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?P<\w+>|(?!\?))", re.DOTALL)
"""What may hold a parenthesis that opens no group, or one that opens a capturing group."""


def read_metrics(request: Request, objective: Path, definition: Path) -> list[dict[str, Json]]:
    """Return the ``[[metric]]`` tables, the objective first.

    Args:
        request: what is read; mistakes are noted there.
        objective: where Type and MetricName are.
        definition: where the training job's definition is.
    """
    base: Path = (*definition, "AlgorithmSpecification", "MetricDefinitions")
    patterns: dict[str, str] = {}
    for place, item in enumerate(request.at(*base) or []):
        path = (*base, place)
        request.take(*path)
        name = item["Name"]
        if name in patterns:
            request.refuse((*path, "Name"), name, "different names")
        elif _fits(request, (*path, "Name"), name):
            patterns[name] = _one_group(request, (*path, "Regex"), item["Regex"])
    wanted = request.take(*objective)
    name = wanted["MetricName"]
    if patterns and name not in patterns:
        known = f"one of the MetricDefinitions, {', '.join(patterns)}{nearest(name, patterns)}"
        request.refuse((*objective, "MetricName"), name, known)
    elif not patterns and _fits(request, (*objective, "MetricName"), name):
        request.notes.append(
            f"metric: the request has no MetricDefinitions: report {name!r} with hpo_pipe.trial, or print it and add "
            f"a pattern, as in '{name}: ([0-9.e+-]+)'"
        )
    first = {"name": name, "goal": wanted["Type"].lower()}
    first |= {"pattern": patterns[name]} if name in patterns else {}
    return [first, *({"name": other, "pattern": text} for other, text in patterns.items() if other != name)]


def _fits(request: Request, path: Path, name: str) -> bool:
    fits = len(name) <= 200 and name.isprintable() and name != "resource"
    if not fits:
        request.refuse(path, name, "1 to 200 printable characters, and not 'resource'")
    return fits


def _one_group(request: Request, path: Path, text: str) -> str:
    """Return the expression with its first group only: SageMaker reads that one, a study file has no other."""
    try:
        groups = re.compile(text).groups
        found = text if groups == 1 else first_group(text)
        left = re.compile(found).groups
    except (re.error, RecursionError, OverflowError) as error:
        request.refuse(path, text, f"a regular expression ({error})")
        return text
    if left != 1:
        request.refuse(path, text, "a group around the number, as in 'loss: ([0-9.]+)'")
    elif found != text:
        request.notes.append(
            f"metric pattern {text!r}: SageMaker reads its first group, so it becomes {found!r}"
        )
    return found


def first_group(text: str) -> str:
    """Return a regular expression whose capturing groups do not capture, but for the first one."""
    seen = 0

    def plain(found: re.Match[str]) -> str:
        nonlocal seen
        if not found[0].startswith("("):
            return found[0]
        seen += 1
        return found[0] if seen == 1 else "(?:"

    return _GROUP.sub(plain, text)
