"""An HTTP reverse proxy that counts S3 requests by kind. Counts what is on the wire, below every library's retries."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class CountingProxy:
    """Forwards to `upstream` (``http://host:port``); `counts` holds (kind, first part of the key) to requests."""

    def __init__(self, upstream: str, prefix: str) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._prefix = prefix
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(upstream).netloc))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[CountingProxy]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def count(self, method: str, path: str, conditional: bool, status: int) -> None:
        split = urlsplit(path)
        listing = method == "GET" and "list-type" in split.query
        key = unquote(split.path).strip("/")
        if listing:
            key = next((unquote(p[7:]) for p in split.query.split("&") if p.startswith("prefix=")), "")
            key = f"{self._prefix.split('/')[0]}/{key}"
        part = key.removeprefix(self._prefix).strip("/").split("/")[0] or "-"
        with self._lock:
            self.counts[_kind(method, listing, conditional, status), part] += 1


def _kind(method: str, listing: bool, conditional: bool, status: int) -> str:
    if listing:
        return "list"
    if method == "PUT":
        return ("create, lost" if status in (409, 412) else "create") if conditional else "replace"
    if method == "GET":
        return {304: "get, unchanged", 404: "get, absent"}.get(status, "get")
    return method.lower()


def _handler(proxy: CountingProxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    local = threading.local()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def forward(self) -> None:
            body = self._body()
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            if body or self.command in ("PUT", "POST"):
                headers["Content-Length"] = str(len(body))
            answer, data = self._ask(headers, body)
            conditional = "if-none-match" in self.headers
            proxy.count(self.command, self.path, conditional, answer.status)
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("content-length") if self.command == "HEAD" else str(len(data))
            if length is not None:
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _ask(self, headers: dict[str, str], body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection(upstream, timeout=60)
            try:
                local.connection.request(self.command, self.path, body=body or None, headers=headers)
                answer = local.connection.getresponse()
                return answer, answer.read()
            except (OSError, http.client.HTTPException):
                local.connection.close()  # so that the next request finds a fresh one
                raise

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(chunks)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def log_message(self, format: str, *args: object) -> None:
            pass

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

    return Handler
