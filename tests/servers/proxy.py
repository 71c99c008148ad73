"""A proxy in front of an S3 server that loses requests and answers, delays, and answers errors, as a test asks::

with Proxy(s3_server.endpoint) as proxy:
    proxy.plan = at_random(0.1, Fault("lose answer"), seed=1)
    lead_to(proxy.endpoint, monkeypatch)
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Literal
from urllib.parse import urlsplit

from tests.servers.loopback import Answer, Cut, LoopbackServer, Request

Kind = Literal[
    "lose request", "lose answer", "reset", "late", "delay", "unavailable", "expired", "denied", "error"
]
_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    ``lose request``: closed without being passed on. ``lose answer``: passed on, then closed. ``reset``: passed on,
    then reset. ``late``: closed, and passed on `seconds` later. ``delay``: answered `seconds` later.
    ``unavailable``: 503. ``error``: 500. ``expired``: 403 ExpiredToken. ``denied``: 403 AccessDenied.
    """

    kind: Kind
    seconds: float = 0.0


Plan = Callable[[Request], Fault | None]


class Proxy(LoopbackServer):
    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.plan: Plan = lambda _: None
        self.strip: set[str] = set()
        """Request headers, in lower case, that are not passed on."""
        self.seen: list[tuple[str, str, Fault | None]] = []
        """Method, path and fault of every request."""
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()

    def count(self, method: str) -> int:
        """Return how many requests of `method` came."""
        return sum(seen == method for seen, _, _ in self.seen)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            fault = self.plan(request)
            self.seen.append((request.method, request.path, fault))
        kind = fault.kind if fault else None
        if kind == "lose request":
            raise Cut
        if kind == "late":
            timer = threading.Timer(fault.seconds if fault else 0, self._pass_on_late, [request])
            timer.daemon = True
            timer.start()
            raise Cut
        if kind in _ERRORS:
            return _error(*_ERRORS[kind])
        answer = self._pass_on(request)
        if kind == "delay":
            time.sleep(fault.seconds if fault else 0)
        if kind in ("lose answer", "reset"):
            raise Cut(reset=kind == "reset")
        return answer

    def _pass_on_late(self, request: Request) -> None:
        with suppress(Cut):
            self._pass_on(request)

    def _pass_on(self, request: Request) -> Answer:
        try:
            return self._ask(request)
        except (OSError, http.client.HTTPException) as error:  # the server is away
            raise Cut from error

    def _ask(self, request: Request) -> Answer:
        with closing(http.client.HTTPConnection(self._upstream, timeout=60)) as connection:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in _HOP | self.strip:
                    connection.putheader(name, value)
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            body = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        return Answer(answer.status, headers, body)


def always(fault: Fault, method: str | None = None) -> Plan:
    """Return the plan in which each request (of `method`) meets `fault`."""
    return lambda request: fault if method in (None, request.method) else None


def first(count: int, fault: Fault, method: str | None = None) -> Plan:
    """Return the plan in which the first `count` requests (of `method`) meet `fault`."""
    left = [count]

    def plan(request: Request) -> Fault | None:
        if method not in (None, request.method) or not left[0]:
            return None
        left[0] -= 1
        return fault

    return plan


def at_random(rate: float, *faults: Fault, seed: int, method: str | None = None) -> Plan:
    """Return the plan in which a share `rate` of the requests (of `method`) meets one of `faults`, each in its turn.

    In turn, so that as many hits as there are faults have met every one of them.
    """
    draw, turn = random.Random(seed), cycle(faults)

    def plan(request: Request) -> Fault | None:
        hit = draw.random() < rate
        return next(turn) if hit and method in (None, request.method) else None

    return plan


_ERRORS: dict[str | None, tuple[int, str]] = {
    "unavailable": (503, "SlowDown"),
    "error": (500, "InternalError"),
    "expired": (403, "ExpiredToken"),
    "denied": (403, "AccessDenied"),
}


def _error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by a test</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())
