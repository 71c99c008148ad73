"""What an archive of code may hold (PROTOCOL.md, 6.11). Pure.

Who packs one and who unpacks it refuse the same things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_CONTENT_BYTES = 256_000_000
"""All files of an archive together."""
MAX_MEMBERS = 50_000
"""Files, folders and links."""
MAX_TAR_BYTES = 512_000_000
"""The archive unpacked from gzip: the files, and what a tar file adds for each."""
MAX_PACKED_BYTES = 300_000_000
MAX_NAME_BYTES = 1000
"""Of a member's path, or of what a link leads to, in UTF-8."""
MAX_PART_BYTES = 255

_CONTROL = re.compile("[\x00-\x1f\x7f]")


class Kind(StrEnum):
    """What a member is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member, and all that is known of it: owners and times are not kept."""

    name: str
    """Path below the folder, parts joined by ``/``."""
    kind: Kind
    data: bytes = b""
    executable: bool = False
    target: str = ""
    """Where a link leads, seen from the folder that it is in."""


def name_problem(name: str) -> str:
    """Return why `name` cannot be a member's path, or an empty string."""
    parts = name.split("/")
    try:
        long = len(name.encode()) > MAX_NAME_BYTES or any(
            len(part.encode()) > MAX_PART_BYTES for part in parts
        )
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if long:
        return f"its path is longer than {MAX_NAME_BYTES} bytes, or one name in it than {MAX_PART_BYTES}"
    if _CONTROL.search(name):
        return "its name holds a control character"
    if any(part in ("", ".", "..") for part in parts):
        return "its path is not a plain one below the folder"
    return ""


def link_problem(name: str, target: str) -> str:
    """Return why a link at `name` must not lead to `target`, or an empty string.

    ``..`` may stand at the beginning alone, and no more often than `name` has folders above it. A link is made in a
    real folder, so these steps stay within the archive; what follows goes down, or through another link of this kind.
    """
    if not target or target.startswith("/"):
        return "it is a link with an absolute target" if target else "it is a link to nowhere"
    parts = target.split("/")
    up = next((place for place, part in enumerate(parts) if part != ".."), len(parts))
    if up > name.count("/"):
        return "it is a link that leads out of the folder"
    rest = "/".join(parts[up:])
    if rest and rest != "." and (problem := name_problem(rest)):
        return f"it is a link whose target is not a plain relative path ({problem.removeprefix('its ')})"
    return ""
