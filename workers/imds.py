"""The metadata service of an EC2 instance, version 2: a token by PUT, then text by GET. No proxy, no redirect, no SDK.

It is a machine's own address and answers in milliseconds or not at all, so everything here is bounded tightly.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from storage_schema.clock import Clock
from storage_schema.errors import UserError

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ENDPOINT_MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
DISABLED = "AWS_EC2_METADATA_DISABLED"

IPV4 = "http://169.254.169.254"
IPV6 = "http://[fd00:ec2::254]"
TOKEN_TTL_S = 21_600
"""The longest that the service grants."""
CONNECT_TIMEOUT_S = 1.0
REQUEST_TIMEOUT_S = 2.0
"""For a whole request, however slowly its answer trickles."""
MAX_BODY_BYTES = 4096

_TOKEN = re.compile(r"[!-~]{1,1024}")
_GONE = (403, 405, 501)
"""Answers to the first token that a later try will not change: the service is switched off, or is another's."""


class MetadataUnavailable(Exception):
    """No usable answer."""

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent
        """Nothing listens there, or it refuses on principle."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A text, and when the service sent it by its own clock (None: it did not say)."""

    text: str
    date: datetime | None


def disabled(environment: Mapping[str, str]) -> bool:
    """Tell whether the user keeps programs from asking this service."""
    return environment.get(DISABLED, "").lower() == "true"


def endpoint_of(environment: Mapping[str, str]) -> str:
    """Return the service's address, by the variables that AWS's own tools know.

    Raises:
        UserError: the variable holds no such address.
    """
    given = environment.get(ENDPOINT, "")
    if not given:
        return IPV6 if environment.get(ENDPOINT_MODE, "").lower() == "ipv6" else IPV4
    try:
        parts = urlsplit(given)
        good = parts.scheme == "http" and parts.hostname and parts.port != 0 and parts.path in ("", "/")
        good = good and not parts.query and not parts.fragment
    except ValueError:
        good = False
    if not good or not given.isascii() or "@" in given:
        raise UserError(f"{ENDPOINT} is {given[:80]!r}, expected an address like {IPV4}")
    return given.rstrip("/")


class Metadata:
    """One instance's metadata. Used by one thread."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._clock = clock
        self._token = ""

    def get(self, path: str) -> Answer | None:
        """Return what stands at ``/latest/meta-data/<path>``, or None where nothing does (404).

        Raises:
            MetadataUnavailable: no usable answer.
        """
        for _ in range(2):
            headers = {"X-aws-ec2-metadata-token": self._token or self._new_token()}
            status, answer = self._ask("GET", f"/latest/meta-data/{path}", headers)
            if status == 200:
                return answer
            if status == 404:
                return None
            if status != 401:
                break
            self._token = ""  # it has run out, or the instance was started anew
        raise MetadataUnavailable(f"the metadata service answered {path} with status {status}")

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)}
        status, answer = self._ask("PUT", "/latest/api/token", headers)
        if status != 200 or not _TOKEN.fullmatch(answer.text):
            what = f"with status {status}" if status != 200 else "with something that is none"
            raise MetadataUnavailable(
                f"the metadata service answered the wish for a token {what}", absent=status in _GONE
            )
        self._token = answer.text
        return self._token

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, Answer]:
        connection = _Connection(self._host, self._port, self._clock)
        try:
            connection.request(method, path, headers={**headers, "Connection": "close"})
            response = connection.getresponse()
            data = response.read(MAX_BODY_BYTES + 1)
            if len(data) > MAX_BODY_BYTES:
                raise MetadataUnavailable(f"the metadata service's answer to {path} is too long")
            return response.status, Answer(data.decode("ascii", "replace"), _date(response.headers["Date"]))
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise MetadataUnavailable(f"no answer of the metadata service: {reason}", absent=True) from None
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection whose whole request has one time limit."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        super().__init__(host, port)
        self._clock = clock

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_S)
        self.sock = _TimedSocket(fileno=plain.detach())
        self.sock.limit(self._clock, REQUEST_TIMEOUT_S)


class _TimedSocket(socket.socket):
    """A socket that may be read from for so long in all; `settimeout` alone limits each piece."""

    def limit(self, clock: Clock, seconds: float) -> None:
        self._clock_of = clock
        self._until = clock.monotonic() + seconds
        self.settimeout(seconds)

    def recv_into(self, buffer, nbytes=0, flags=0):  # type: ignore[no-untyped-def]
        left = self._until - self._clock_of.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)
        return super().recv_into(buffer, nbytes, flags)


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
