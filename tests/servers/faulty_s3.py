"""A small S3 server that breaks one rule at a time, as servers that people really run do."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers.loopback import Answer, LoopbackServer, Request

OLD_S = 0.05


@dataclass(frozen=True)
class Faults:
    """Which rules the server breaks; without any it is a correct server, small and slow."""

    conditions: Literal["kept", "ignored", "checked, then written", "not implemented"] = "kept"
    missing: Literal["404", "403"] = "404"
    listing: Literal["in order", "backwards", "a minute old", "from the start"] = "in order"
    reads: Literal["new", "a moment old"] = "new"
    """a moment old: a read shows the object as it was `OLD_S` ago, as behind a cache."""
    conditional_reads: bool = True
    clock_ahead_s: float = 0.0
    deletes: Literal["done", "denied"] = "done"


@dataclass(frozen=True)
class _Object:
    data: bytes
    modified: float

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'


class FaultyS3(LoopbackServer):
    """One bucket of any name; paths are ``/bucket/key``."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__()
        self.faults = faults or Faults()
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not key:
            return self._list(query) if "list-type" in query else _error(404, "NoSuchConfiguration")
        if request.method == "PUT":
            return self._put(key, request.body, headers)
        if request.method == "DELETE":
            return self._delete(key)
        return self._get(key, headers)

    def _put(self, key: str, body: bytes, headers: dict[str, str]) -> Answer:
        conditional = headers.get("if-none-match") == "*"
        conditions = self.faults.conditions if conditional else "ignored"
        if conditions == "not implemented":
            return _error(501, "NotImplemented")
        if conditions == "checked, then written":
            if key in self._objects:
                return _error(412, "PreconditionFailed")
            time.sleep(0.01)  # the window that a real server of this kind has too, only shorter
        with self._lock:
            if conditions == "kept" and key in self._objects:
                return _error(412, "PreconditionFailed")
            self._objects[key] = _Object(body, self._now())
            return Answer(200, {"ETag": self._objects[key].etag})

    def _get(self, key: str, headers: dict[str, str]) -> Answer:
        found = self._objects.get(key)
        if found and self.faults.reads == "a moment old" and found.modified > self._now() - OLD_S:
            found = None
        if found is None:
            return _error(404, "NoSuchKey") if self.faults.missing == "404" else _error(403, "AccessDenied")
        described = {"ETag": found.etag, "Last-Modified": formatdate(found.modified, usegmt=True)}
        if self.faults.conditional_reads and headers.get("if-none-match") == found.etag:
            return Answer(304, {**described, "Content-Length": "0"})
        return Answer(200, described, found.data)

    def _delete(self, key: str) -> Answer:
        if self.faults.deletes == "denied":
            return _error(403, "AccessDenied")
        with self._lock:
            self._objects.pop(key, None)
        return Answer(204, {"Content-Length": "0"})

    def _list(self, query: dict[str, str]) -> Answer:
        after = query.get("continuation-token") or query.get("start-after", "")
        if self.faults.listing == "from the start":
            after = query.get("continuation-token", "")
        with self._lock:
            objects = dict(self._objects)
        keys = sorted(key for key in objects if key.startswith(query.get("prefix", "")) and key > after)
        if self.faults.listing == "a minute old":
            keys = [key for key in keys if objects[key].modified < self._now() - 60]
        page = keys[:1000]
        if self.faults.listing == "backwards":
            page.reverse()
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(keys) > len(page) else ""
        items = "".join(_item(key, objects[key]) for key in page)
        truncated = "true" if more else "false"
        body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{items}</ListBucketResult>"
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())

    def _now(self) -> float:
        return time.time() + self.faults.clock_ahead_s


def _item(key: str, found: _Object) -> str:
    seconds, fraction = divmod(found.modified, 1)
    modified = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(fraction * 1000):03}Z"
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(found.etag)}</ETag><Size>{len(found.data)}</Size></Contents>"
    )


def _error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by a test</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())
