"""Which keys every store accepts, so that no key can leave the study, on a disk or in a bucket."""

from __future__ import annotations

import re

from storage_schema.errors import ProtocolViolation

MAX_KEY_BYTES = 700
"""S3 allows 1024 for prefix and key together."""

MAX_OBJECT_BYTES = 5 * 1024**3
"""What one S3 PutObject takes."""
_MIB = 1024 * 1024
_MOST_BYTES = (
    ("", ".json", 8 * _MIB),
    ("metrics/", "", 64 * _MIB),
    ("output/", "", 8 * _MIB),
    ("snapshots/", "", 1024 * _MIB),
)
"""Records, segments, what attempts printed, packs: prefix and end of the key, and bytes."""
_FILE_OF_CHECKPOINT = re.compile(r"checkpoints/[^/]+/[^/]+/files/")

_PART = r"(?!\.+(?:/|$))[A-Za-z0-9._+=@-]{1,200}"
_KEY = re.compile(rf"{_PART}(?:/{_PART})*")
_PREFIX = re.compile(rf"(?:{_PART}/)*(?:[A-Za-z0-9._+=@-]{{1,200}})?")
_ONE_PART = re.compile(_PART)
_SCRATCH = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def max_bytes(key: str) -> int:
    """Return how large an object of this key may be: a reader holds it in memory, and anybody may have put it there."""
    if not _FILE_OF_CHECKPOINT.match(key):
        for prefix, suffix, most in _MOST_BYTES:
            if key.startswith(prefix) and key.endswith(suffix):
                return most
    return MAX_OBJECT_BYTES


def is_key(text: str) -> bool:
    """Tell whether `text` may name an object: parts of letters, digits and ``._+=@-``, none of dots alone."""
    return len(text) <= MAX_KEY_BYTES and _KEY.fullmatch(text) is not None


def is_key_part(name: str) -> bool:
    """Tell whether `name` may stand between two slashes of a key."""
    return _ONE_PART.fullmatch(name) is not None


def is_scratch_name(name: str) -> bool:
    """Tell whether `name` is that of a folder store's temporary file, ``.<name>.<16 hex digits>.tmp``."""
    return name[:1] == "." and _SCRATCH.fullmatch(name) is not None


def checked_key(key: str) -> str:
    """Return `key` where it may name an object.

    Raises:
        ProtocolViolation: otherwise; what users and strangers name is checked long before.
    """
    if not is_key(key) or is_scratch_name(key.rpartition("/")[2]):
        raise ProtocolViolation(f"{key[:100]!r} is no key: parts of A-Z, a-z, 0-9 and ._+=@- with / between")
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` where keys may begin with it; empty means all.

    Raises:
        ProtocolViolation: otherwise.
    """
    last = prefix.rpartition("/")[2]
    if len(prefix) > MAX_KEY_BYTES or not _PREFIX.fullmatch(prefix) or last in (".", ".."):
        raise ProtocolViolation(f"{prefix[:100]!r} is no prefix of keys")
    return prefix
