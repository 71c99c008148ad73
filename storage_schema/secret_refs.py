"""``NAME=REF``: the variable that a secret is handed to trials in, and where it lies. Never the secret. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storage_schema.errors import UserError
from storage_schema.redaction import redacted

MAX_NAME_CHARACTERS = 128
MAX_REF_CHARACTERS = 2048
OUR_PREFIX = "HPO_PIPE_"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ARN = r"arn:(aws[a-z-]{0,20}):%s:([a-z0-9-]{4,30}):([0-9]{12}):"
_SECRETS_MANAGER = re.compile(
    _ARN % "secretsmanager" + r"secret:[A-Za-z0-9/_+=.@!-]{1,600}(#[^#\x00-\x1f]{1,200})?"
)
_PARAMETER = re.compile(_ARN % "ssm" + r"parameter/[A-Za-z0-9/_.-]{1,1100}")
_FILE = re.compile(r"file:(?://)?(/[^/\x00-\x1f][^\x00-\x1f]*)")
ALLOWED = (
    "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, with #KEY behind it for one value of a JSON object, "
    "arn:aws:ssm:REGION:ACCOUNT:parameter/NAME, or file:/path"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """A variable, and where its value is read when a worker starts."""

    name: str
    service: str
    """``secretsmanager``, ``ssm`` or ``file``."""
    place: str
    """The ARN, or the file's path."""
    region: str = ""
    key: str = ""
    """Of the JSON object that the secret is; empty for the whole of it."""

    def __str__(self) -> str:
        scheme = "file:" if self.service == "file" else ""
        return f"{self.name}={scheme}{self.place}{'#' * bool(self.key)}{self.key}"


def parse_secret(text: str) -> SecretRef:
    """Read ``NAME=REF``.

    Raises:
        UserError: no such name or place. The place is not repeated where it could be the secret itself.
    """
    name, mark, ref = text.partition("=")
    if not mark:
        raise UserError(f"--secret: expected NAME=REF, REF one of {ALLOWED}")
    checked_variable("--secret", name)
    if len(ref) <= MAX_REF_CHARACTERS:
        if found := _SECRETS_MANAGER.fullmatch(ref):
            arn, _, key = ref.partition("#")
            return SecretRef(name=name, service="secretsmanager", place=arn, region=found[2], key=key)
        if found := _PARAMETER.fullmatch(ref):
            return SecretRef(name=name, service="ssm", place=ref, region=found[2])
        if found := _FILE.fullmatch(ref):
            return SecretRef(name=name, service="file", place=found[1])
    shown = f", found {redacted(ref)[:80]!r}" if ref.startswith(("arn:", "file:")) else ""
    raise UserError(f"--secret {name}: expected {ALLOWED}{shown}; the secret itself is not written here")


def checked_variable(option: str, name: str) -> str:
    """Return the name of a variable that a user may set, or raise UserError."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARACTERS:
        shown = redacted(name)[:40]
        raise UserError(
            f"{option} {shown!r}: a variable's name has letters, digits and _, and begins with no digit"
        )
    if name.upper().startswith(OUR_PREFIX):
        raise UserError(f"{option} {name}: variables that begin with {OUR_PREFIX} are ours")
    return name
