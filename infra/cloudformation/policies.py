"""Write the policy documents of hpo_pipe.launch.iam into hpo-pipe.yaml: ``python infra/cloudformation/policies.py``.

Between the lines ``# begin NAME`` and ``# end NAME`` stands the document NAME of ``hpo_pipe.launch.iam.templates``, the
one source of Terraform's documents too (or several, joined by ``+``; a trust policy names its service behind it). All
else in the file is written by hand. A test holds the file to that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpo_pipe.launch.iam.templates import SUFFIX, templates

TEMPLATE = Path(__file__).with_name("hpo-pipe.yaml")
PLACES = {
    "account": "${AWS::AccountId}",
    "bucket": "${BucketName}",
    "dns_suffix": "${AWS::URLSuffix}",
    "event_queue_arn": "${EventQueue.Arn}",
    "function_arn": "${Coordinator.Arn}",
    "job_queue_arn": "${JobQueue}",
    "partition": "${AWS::Partition}",
    "prefix": "${Study}/",
    "region": "${AWS::Region}",
    "rule_arn": "${EventRule.Arn}",
    "schedule_arn": "arn:${partition}:scheduler:${region}:${account}:schedule/default/${AWS::StackName}",
    "schedule_role_arn": "${ScheduleRole.Arn}",
    "study_name": "${StudyName}",
    "worker_role_arn": "${WorkerRole.Arn}",
}
"""What a placeholder is in this stack; ``log_group_arn`` and ``service`` differ from place to place."""
GROUPS = {"lambda": "CoordinatorLog", "launch-aws-batch-registering": "WorkerLog"}
LISTS = {"secret_arns": "SecretArns"}

_BLOCK = re.compile(r"^( *)# begin (\S+)(?: ([a-z0-9-]+))?\n(?:.*\n)*?\1# end \2\n", re.MULTILINE)
_LIST = re.compile(r"\$\{jsonencode\((\w+)\)\}")
_LISTED = "the list "
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:./-]*[A-Za-z0-9*]")
_WORDS = ("null", "true", "false", "yes", "no", "on", "off")
"""What YAML takes for something else than a text."""


def filled(text: str) -> str:
    """Return the template with each block's document, indented as its first line is."""
    documents = templates()

    def block(found: re.Match[str]) -> str:
        indent, name, service = found[1], found[2], found[3] or ""
        parts = [placed(documents[part + SUFFIX], part, service) for part in name.split("+")]
        document = parts[0] | {"Statement": [each for part in parts for each in part["Statement"]]}
        lines = "".join(f"{indent}{line}\n" for line in written(document))
        end = f"{indent}# end {name}\n"
        return f"{indent}# begin {name}{' ' + service if service else ''}\n{lines}{end}"

    return _BLOCK.sub(block, text)


def placed(text: str, name: str, service: str = "") -> dict[str, Any]:
    """Return a document in which placeholders are what they are in this stack."""
    places = PLACES | {
        "log_group_arn": f"arn:${{partition}}:logs:${{region}}:${{account}}:log-group:${{{GROUPS.get(name)}}}"
    }
    places["service"] = f"{service}.amazonaws.com"
    text = _LIST.sub(lambda found: json.dumps(_LISTED + LISTS[found[1]]), text)
    for _ in range(2):  # an ARN that is made up here has places of its own
        text = re.sub(r"\$\{(\w+)\}", lambda found: places.get(found[1], found[0]), text)
    document: dict[str, Any] = json.loads(text)
    return document


def written(value: Any, indent: str = "") -> Iterator[str]:
    """Yield the lines of a value in YAML's block style."""
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in items:
        start = indent + ("- " if key is None else f"{_scalar(key)}:")
        if not isinstance(item, dict | list):
            yield f"{start}{'' if key is None else ' '}{_scalar(item)}"
        elif key is None:
            first, *rest = written(item, indent + "  ")
            yield start + first.removeprefix(indent + "  ")
            yield from rest
        else:
            yield start
            yield from written(item, indent + "  ")


def _scalar(value: Any) -> str:
    if isinstance(value, str) and value.startswith(_LISTED):
        return "!Ref " + value.removeprefix(_LISTED)
    text = json.dumps(value)
    if isinstance(value, str) and "${" in value:
        return f"!Sub {text}"
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return str(value) if plain else text


if __name__ == "__main__":
    TEMPLATE.write_text(filled(TEMPLATE.read_text("utf-8")), "utf-8")
