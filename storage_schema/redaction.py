"""Secrets taken out of what people and records get to see: output, reasons, messages, URLs. Pure.

Two kinds are known: the values of this process's own variables whose names say so (``WANDB_API_KEY``), and what has
the form of a credential (access keys, tokens, signatures, passwords in URLs). Each becomes ``***``; all else stays as
it is, byte for byte. What neither kind knows, such as a password that a program made up itself, stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO
from urllib.parse import quote

STARS = b"***"
LEAST_CHARACTERS = 8
"""A shorter value is also an ordinary word: replacing it would destroy the text, and hide nothing worth hiding."""
LONGEST = 4096
"""Bytes of a credential that are reckoned with where a text is cut."""

_SECRET_PARTS = {
    *("KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PAT", "PWD"),
    *("CREDENTIAL", "CREDENTIALS", "AUTH"),
}
_SECRET_ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD")
_PLAIN_ENDINGS = {
    *("FILE", "PATH", "DIR", "HOME", "URL", "URI", "SOCK", "NAME", "TYPE", "SIZE", "LENGTH", "EXPIRATION"),
    *("REGION", "METHOD", "MODE", "PARALLELISM"),
}
_PLAIN = {"PWD", "OLDPWD"}

_Pattern = tuple[tuple[bytes, ...], re.Pattern[bytes], bytes]

_PATTERNS: tuple[_Pattern, ...] = (
    # What one of the words (lower case) must be in the text for, the expression, what is left of it.
    ((b"akia", b"asia"), re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), STARS),
    (
        (b"secret", b"session"),
        re.compile(
            rb"(?i)((?:aws_?)?(?:secret_?access_?key|session_?token)[\"']?\s{0,3}[=:>]\s{0,3}[\"']?)[^\s\"',;&<>]{8,}"
        ),
        rb"\1" + STARS,
    ),
    (
        (b"x-amz-",),
        re.compile(
            rb"(?i)(x-amz-(?:signature|security-token|credential)[\"']?\s{0,3}[=:]\s{0,3}[\"']?)[^\s&\"'<>,]+"
        ),
        rb"\1" + STARS,
    ),
    (
        (b"authorization",),
        re.compile(
            rb"(?i)(authorization[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?:[A-Za-z0-9-]{1,40}\s)?)[^\s\"']{8,}"
        ),
        rb"\1" + STARS,
    ),
    ((b"bearer",), re.compile(rb"(?i)(\bbearer\s{1,3})[A-Za-z0-9._~+/-]{20,}=*"), rb"\1" + STARS),
    ((b"signature=",), re.compile(rb"(\bSignature=)[0-9a-f]{32,}"), rb"\1" + STARS),
    ((b"hf_",), re.compile(rb"\bhf_[A-Za-z0-9]{30,}"), STARS),
    (
        (b"gh", b"glpat-"),
        re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,}|glpat-[\w-]{20,})"),
        STARS,
    ),
    ((b"sk-",), re.compile(rb"\bsk-[A-Za-z0-9_-]{20,}"), STARS),
    ((b"xox",), re.compile(rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"), STARS),
    ((b"aiza",), re.compile(rb"\bAIza[A-Za-z0-9_-]{35}"), STARS),
    (
        (b"private key-----",),
        re.compile(
            rb"(?s)-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
        ),
        STARS,
    ),
    # The secret key of a study URL may hold a slash; of other URLs the name ends at the first one.
    (
        (b"s3://", b"s3a://"),
        re.compile(rb"(?i)(\bs3a?://)[^\s@\"':]{1,200}:[^\s@\"']{1,200}@"),
        rb"\1" + STARS + b"@",
    ),
    ((b"://",), re.compile(rb"(://)[^\s/@\"':]{0,200}:[^\s/@\"']{1,1000}@"), rb"\1" + STARS + b"@"),
)
_URL_PASSWORD = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names say that they are secret, and the passwords in URLs among the rest."""
    found = set()
    for name, value in environment.items():
        if is_secret_name(name):
            found.add(value.strip())
        found.update(_URL_PASSWORD.findall(value))
    return tuple(sorted(value for value in found if len(value) >= LEAST_CHARACTERS))


def is_secret_name(name: str) -> bool:
    """Tell whether a variable's name says that its value is secret: ``HF_TOKEN``, not ``TOKENIZERS_PARALLELISM``."""
    parts = name.upper().split("_")
    if name.upper() in _PLAIN or parts[-1] in _PLAIN_ENDINGS:
        return False
    return any(part in _SECRET_PARTS or part.endswith(_SECRET_ENDINGS) for part in parts)


class Redactor:
    """Takes secrets out of bytes and texts.

    Args:
        secrets: values that are to vanish wherever they stand, beside what has the form of a credential; those
            shorter than 8 characters are left alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= LEAST_CHARACTERS}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile(b"|".join(map(re.escape, longest_first))) if forms else None

    def data(self, data: bytes) -> bytes:
        """Return `data` without secrets; 2 MiB of plain output take some milliseconds."""
        if self._known is not None:
            data = self._known.sub(STARS, data)
        lowered = data.lower()
        for words, pattern, kept in _PATTERNS:
            if any(word in lowered for word in words):
                data = pattern.sub(kept, data)
        return data

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def credentials_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where in `data` something with the form of a credential begins, and the credential, not always in order."""
    lowered = data.lower()
    for words, pattern, _ in _PATTERNS:
        if any(word in lowered for word in words):
            for found in pattern.finditer(data):
                name = found[1] if pattern.groups else b""
                yield found.start() + len(name), found[0][len(name) :]


_PLAIN_REDACTOR = Redactor()


def redacted(text: str) -> str:
    """Return `text` without what has the form of a credential."""
    return _PLAIN_REDACTOR.text(text)


class RedactedStream:
    """A text stream whose writes lose their secrets; all else is the stream's own.

    What is written at once is looked at as one: a secret that is spread over two writes is not found.
    """

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self.redactor = redactor

    def write(self, text: str) -> int:
        """Write `text` without secrets."""
        self._stream.write(self.redactor.text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _forms(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written: plain, and within a URL."""
    yield secret.encode("utf-8", "surrogateescape")
    yield quote(secret.encode("utf-8", "surrogateescape"), safe="").encode()
