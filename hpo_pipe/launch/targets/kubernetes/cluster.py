"""What kubectl is asked, and what its answers mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hpo_pipe.launch.commands import Answer, answer_of, ask
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import Refusal, TargetUnavailable
from storage_schema.codec import Json
from storage_schema.errors import UserError

SOURCE = "kubernetes.io/docs/tasks/tools has it"
REQUEST_S = 30
"""One request of kubectl; shorter than what it may take in all."""
UNIT, RECORD = "\x1f", "\x1e"
JOB_LABEL = "batch.kubernetes.io/job-name"
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"

_REFUSALS: tuple[tuple[Refusal, re.Pattern[str]], ...] = tuple(
    (refusal, re.compile(words))
    for refusal, words in (
        (Refusal.QUOTA, r"exceeded quota"),
        (Refusal.INVALID, r"denied the request|denied request|failed quota|because it is being terminated"),
        (Refusal.DENIED, r"\((Forbidden|Unauthorized)\)|You must be logged in|Unauthorized"),
        (Refusal.THROTTLED, r"\(TooManyRequests\)"),
        (Refusal.INVALID, r"\((Invalid|BadRequest|NotFound|RequestEntityTooLarge)\)| is invalid: "),
        (
            Refusal.INVALID,
            r"^error: (context \S+ does not exist|the namespace from|no context exists)",
        ),
    )
)
"""Words of kubectl's, the first that fit. Without any of them it may have started."""


def kubectl(settings: Mapping[str, Json], verb: str, *arguments: str) -> list[str]:
    """Return a command line that asks the submission's cluster."""
    where = [f"--{name}={settings[name]}" for name in ("context", "namespace") if settings[name]]
    return ["kubectl", verb, *where, f"--request-timeout={REQUEST_S}s", *arguments]


def place(context: str, namespace: str) -> tuple[str, str]:
    """Return context and namespace, those that kubectl would use now where they are empty. No cluster is asked.

    Both stay empty in a pod without a configuration of its own, which asks the cluster that it runs in.

    Raises:
        UserError: no such context.
    """
    if context and namespace:
        return context, namespace
    named = [f"--context={context}"] if context else []
    try:
        answer = ask(["kubectl", "config", "view", "--minify", "--output=json", *named], source=SOURCE)
    except UserError:  # a dry run needs none, and a launch says so
        return context, namespace
    except TargetUnavailable as error:
        raise UserError(str(error)) from None
    if answer.status:
        if context:
            raise UserError(f"--context: {answer.message}")
        return context, namespace
    try:
        found = json.loads(answer.out)["contexts"][0]
        return str(found["name"]), namespace or str(found["context"].get("namespace") or "default")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return context, namespace


def refusal_of(answer: Answer) -> Refusal | None:
    """Return why a Job was not created, or None where that is not known."""
    return next((refusal for refusal, words in _REFUSALS if words.search(answer.errors.strip())), None)


def find_job(order: Order) -> dict[str, Any] | None:
    """Return a submission's Job, or None where there is none of that name; raises TargetUnavailable."""
    said = answer_of(
        kubectl(order.settings, "get", "job", order.name, "--ignore-not-found", "--output=json"),
        source=SOURCE,
    )
    if not said.strip():
        return None
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(part), dict) for part in ("metadata", "spec")
    ):
        raise TargetUnavailable(f"kubectl printed {said[:80]!r}, expected a Job")
    return found


def rows(settings: Mapping[str, Json], kind: str, fields: tuple[str, ...], *filters: str) -> list[list[str]]:
    """Return fields of all objects of a kind that pass filters; whole objects would be a hundred times as much."""
    row = f'{{"{_escaped(UNIT)}"}}'.join(f"{{{field}}}" for field in fields)
    template = f'{{range .items[*]}}{row}{{"{_escaped(RECORD)}"}}{{end}}'
    said = answer_of(
        kubectl(settings, "get", kind, *filters, f"--output=jsonpath={template}"),
        source=SOURCE,
    )
    found = [record.split(UNIT) for record in said.split(RECORD)]
    return [row for row in found if len(row) == len(fields)]


def selector(order: Order, index: str = "") -> str:
    """Return the labels of a submission's pods, or of one worker's."""
    return f"--selector={JOB_LABEL}={order.name}" + (f",{INDEX_LABEL}={index}" if index else "")


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
