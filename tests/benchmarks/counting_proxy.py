"""A proxy that counts S3 requests by kind: what is on the wire, below every library's own retries."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.loopback import Answer, Request
from tests.servers.proxy import Proxy


class CountingProxy(Proxy):
    """In front of `upstream`; `counts` holds (kind of request, first part of the key below `prefix`) to requests."""

    def __init__(self, upstream: str, prefix: str) -> None:
        super().__init__(upstream)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._prefix = prefix

    def answer(self, request: Request) -> Answer:
        answer = super().answer(request)
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        key = query["prefix"][0] if "prefix" in query else unquote(parts.path).strip("/").partition("/")[2]
        place = key.removeprefix(self._prefix).strip("/").split("/")[0] or "-"
        with self._lock:
            self.counts[_kind(request, "list-type" in query, answer.status), place] += 1
        return answer


def _kind(request: Request, listing: bool, status: int) -> str:
    conditional = "if-none-match" in {name.lower() for name in request.headers}
    if listing:
        return "list"
    if request.method == "PUT":
        return ("create, lost" if status in (409, 412) else "create") if conditional else "replace"
    if request.method == "GET":
        return {304: "get, unchanged", 404: "get, absent"}.get(status, "get")
    return request.method.lower()
