"""Credentials among the files of a training: by a file's name, and by what stands in it. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from storage_schema.redaction import credentials_in

SCANNED_BYTES = 4 * 1024 * 1024
"""Of each file; the rest is not looked at."""

_NAMES = (
    *(
        ".env",
        ".env.*",
        "*.env",
        ".envrc",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
    ),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"),
    *(
        ".netrc",
        "_netrc",
        ".pgpass",
        ".pypirc",
        ".git-credentials",
        ".htpasswd",
        ".vault-token",
        ".boto",
        ".s3cfg",
    ),
    *("kubeconfig", "*.kubeconfig", "application_default_credentials.json"),
)
_SAMPLES = (".example", ".sample", ".template", ".dist")
"""``.env.example`` tells which variables there are, and is looked through as any other file."""
_FOLDERS = {".aws", ".ssh", ".gnupg", ".kube", ".azure", ".gcloud"}
_ENDINGS = (".docker/config.json", ".huggingface/token", "huggingface/stored_tokens")

_TOKEN = re.compile(rb"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_~-]{16,}|eyJ[A-Za-z0-9._-]{16,}")
_KEY_BODY = re.compile(rb"[A-Za-z0-9+/=]{40}")
_FILLED_IN = re.compile(rb"[()\[\]{}$%<>*.\\]")
"""``os.environ[...``, ``{token}``, ``$TOKEN``, ``<your key>``, ``config.key``: code, not a value."""


def named_like_credentials(name: str) -> bool:
    """Tell whether the path of a file says that it holds credentials: ``.env``, ``id_rsa``, ``.aws/credentials``."""
    *folders, last = name.casefold().split("/")
    if last.endswith(_SAMPLES):
        return False
    return (
        any(fnmatchcase(last, pattern) for pattern in _NAMES)
        or not _FOLDERS.isdisjoint(folders)
        or name.casefold().endswith(_ENDINGS)
    )


def held_credential(data: bytes) -> tuple[int, bool] | None:
    """Return the line of a text's first credential, and whether it is one for sure; None where none is seen.

    For sure: it has the form of a key or token, and is long and mixed as a random value is. The rest may be a weak
    password as well as an example. Binary files are not looked into.
    """
    text = data[:SCANNED_BYTES]
    if b"\0" in text[:8192]:
        return None
    found = [
        (not _sure(value), text.count(b"\n", 0, place) + 1)
        for place, value in credentials_in(text)
        if _meant(value)
    ]
    unsure, line = min(found, default=(True, 0))
    return (line, not unsure) if line else None


def _meant(value: bytes) -> bool:
    """Tell a value from code that speaks of one, such as ``f"Bearer {token}"``, and from a class in a web page."""
    return _sure(value) or not (_FILLED_IN.search(value) or value.startswith((b"-----BEGIN", b"sk-")))


def _sure(value: bytes) -> bool:
    if value.startswith(b"-----BEGIN"):
        return bool(_KEY_BODY.search(value))
    return bool(_TOKEN.fullmatch(value.rpartition(b":")[2].rstrip(b"@")))
