"""How S3 decides whether a request is allowed, for the few things that our policies use; anything else is an error.

Explicit deny, then allow, else deny (IAM User Guide, "Policy evaluation logic"). A condition on a key that the
request does not have is false, but for ``Null``, and for ``...IfExists``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Document = Mapping[str, Any]

SETTINGS = {
    "lifecycle": "s3:GetLifecycleConfiguration",
    "versioning": "s3:GetBucketVersioning",
    "object-lock": "s3:GetBucketObjectLockConfiguration",
    "replication": "s3:GetReplicationConfiguration",
}
_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "Condition", "Principal"}


@dataclass(frozen=True)
class Ask:
    """What a request wants."""

    action: str
    bucket: str
    key: str | None
    """None: the bucket itself."""
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        return f"arn:aws:s3:::{self.bucket}" + (f"/{self.key}" if self.key is not None else "")


def asked(method: str, path: str, headers: Mapping[str, str], *, tls: bool = True) -> Ask:
    """Return what a path-style S3 request asks for; raises ValueError for one that no role of ours sends."""
    parts = urlsplit(path)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    lowered = {name.lower(): value for name, value in headers.items()}
    context = {"aws:SecureTransport": "true" if tls else "false"}
    if not key:
        if method != "GET":
            raise ValueError(f"{method} {path}")
        if query.get("list-type") == "2":
            if "prefix" in query:
                context["s3:prefix"] = query["prefix"]
            return Ask("s3:ListBucket", bucket, None, context)
        (action,) = [SETTINGS[name] for name in query if name in SETTINGS]
        return Ask(action, bucket, None, context)
    if set(query) - {"x-id", "versionId"}:
        raise ValueError(f"{method} {path}")
    if method == "PUT" and "x-amz-copy-source" not in lowered:
        if "if-none-match" in lowered:
            context["s3:if-none-match"] = lowered["if-none-match"]
        return Ask("s3:PutObject", bucket, key, context)
    version = "Version" if "versionId" in query else ""
    actions = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}
    return Ask(actions[method] + version, bucket, key, context)


def allowed(ask: Ask, identity: Iterable[Document], bucket: Document | None = None) -> bool:
    """Tell whether a caller of the bucket's own account, with policies `identity`, gets what it asks for."""
    effects = [
        *(_effect(s, ask) for document in identity for s in _statements(document)),
        *(_effect(s, ask) for s in _statements(bucket or {"Statement": []}) if _everybody(s)),
    ]
    return "Deny" not in effects and "Allow" in effects


def _statements(document: Document) -> list[Mapping[str, Any]]:
    statements = document["Statement"]
    for statement in statements:
        unknown = set(statement) - _ELEMENTS
        if unknown or statement["Effect"] not in ("Allow", "Deny"):
            raise ValueError(f"policy statement with {sorted(unknown)}, {statement['Effect']!r}")
    return list(statements)


def _everybody(statement: Mapping[str, Any]) -> bool:
    if statement["Principal"] != "*":
        raise ValueError(f"principal {statement['Principal']!r}")
    return True


def _effect(statement: Mapping[str, Any], ask: Ask) -> str | None:
    if "NotAction" in statement:
        concerned = not _any_like(ask.action.lower(), _lower(statement["NotAction"]))
    else:
        concerned = _any_like(ask.action.lower(), _lower(statement["Action"]))
    fits = concerned and _any_like(ask.resource, _many(statement["Resource"]))
    met = all(
        _met(operator, key, _many(values), ask.context)
        for operator, wanted in statement.get("Condition", {}).items()
        for key, values in wanted.items()
    )
    return statement["Effect"] if fits and met else None


def _met(operator: str, key: str, values: list[str], context: Mapping[str, str]) -> bool:
    plain = operator.removesuffix("IfExists")
    if plain not in ("Null", "StringEquals", "StringLike", "Bool"):
        raise ValueError(f"condition operator {operator!r}")
    found = context.get(key)
    if plain == "Null":
        return (found is None) == (values == ["true"])
    if found is None:
        return operator != plain
    if plain == "StringEquals":
        return found in values
    if plain == "Bool":
        return found.lower() in [value.lower() for value in values]
    return _any_like(found, values)


def _any_like(text: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(_expression(pattern), text, re.DOTALL) for pattern in patterns)


def _expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)


def _many(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]


def _lower(value: Any) -> list[str]:
    return [text.lower() for text in _many(value)]
