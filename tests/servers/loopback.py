"""What the servers of this folder that run inside a test share: HTTP on a free port of the loopback interface."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


class Cut(Exception):
    """Raised instead of answering: the connection ends; with `reset` as by a crash of the machine."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset


class LoopbackServer:
    """Answers HTTP requests in threads while the ``with`` block lasts."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Answer:
        """Return the answer, or raise Cut."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


def _handler(owner: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 120

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True  # the client went away

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                answer = owner.answer(Request(self.command, self.path, dict(self.headers.items()), body))
            except Cut as cut:
                self._cut(reset=cut.reset)
                return
            lines = [f"HTTP/1.1 {answer.status} -"] + [f"{k}: {v}" for k, v in answer.headers.items()]
            if "content-length" not in {name.lower() for name in answer.headers}:
                lines.append(f"Content-Length: {len(answer.body)}")
            head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
            self.wfile.write(head if self.command == "HEAD" else head + answer.body)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = serve

        def _cut(self, *, reset: bool) -> None:
            self.close_connection = True
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
