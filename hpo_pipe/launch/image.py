"""``--image``: a reference to a container image, by the grammar that all registries and runtimes share. Pure."""

from __future__ import annotations

import re

from storage_schema.errors import UserError
from storage_schema.redaction import redacted

MAX_NAME = 255
"""Characters of registry and repository together."""
_HOST_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?:@sha256:[0-9a-f]{64})?"
)


def is_image(text: str) -> bool:
    """Whether a text refers to an image: ``[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST]``."""
    if len(text) > 2 * MAX_NAME + 100:
        return False
    found = _REFERENCE.fullmatch(text)
    return found is not None and len(found["name"]) <= MAX_NAME


def case_told(text: str) -> str:
    """Return the end of a message about a text that is no reference: why, where it is the case of letters alone."""
    name, mark, tag = text.rpartition(":")
    name, rest = (name, mark + tag) if mark and "/" not in tag else (text, "")
    return "; a repository is written in lower case" if is_image(name.lower() + rest) else ""


def check_image(image: str) -> None:
    """Raise UserError for a text that names no container image; an empty one names none, and is left to others."""
    if image and not is_image(image):
        raise UserError(
            f"--image is {redacted(image)[:80]!r}, expected something like "
            f"ACCOUNT.dkr.ecr.REGION.amazonaws.com/x:1{case_told(image)}"
        )
