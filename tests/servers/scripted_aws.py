"""A server that answers as AWS's services do, by a script: refusals, lost answers, and states that no emulator has.

What it answers is held against botocore's model of the answer first, so that a script cannot make up fields.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from tests.servers.s3 import lead_to

LOST = "lost"
"""The request is taken, and the connection ends without an answer."""


@dataclass(frozen=True)
class Refused:
    code: str
    status: int = 400
    message: str = "because"


Answer = dict[str, Any] | Refused | str


@dataclass
class ScriptedAws:
    service: str
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self, operation: str, *answers: Answer) -> None:
        """Answer `operation` so, one after the other; the last one stays."""
        for answer in answers:
            if isinstance(answer, dict):
                known = operation in model(self.service).operation_names
                shape = model(self.service if known else "logs").operation_model(operation).output_shape
                if shape is None:
                    assert not answer
                else:
                    validate_parameters(answer, shape)
        self.script[operation] = list(answers)

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.asked if name == operation]

    def take(self, operation: str, body: dict[str, Any]) -> Answer:
        with self.lock:
            self.asked.append((operation, body))
            left = self.script.get(operation) or [Refused("UnknownOperationException", 404, operation)]
            return left.pop(0) if len(left) > 1 else left[0]


@cache
def model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _operation(service: str, path: str, target: str | None) -> str:
    if target:
        return target.partition(".")[2]
    known = model(service)
    for name in known.operation_names:
        if known.operation_model(name).http["requestUri"] == path:
            return str(name)
    return path


@contextmanager
def scripted(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAws]:
    """Lead this process to a server of `service`, and of CloudWatch Logs, with an empty script."""
    aws = ScriptedAws(service)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            answer = aws.take(_operation(service, self.path, self.headers.get("X-Amz-Target")), body)
            if answer == LOST:
                self.close_connection = True
                return
            status, told = 200, answer
            if isinstance(answer, Refused):
                status, told = answer.status, {"__type": answer.code, "message": answer.message}
            data = json.dumps(told, default=datetime.timestamp).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    lead_to(f"http://127.0.0.1:{server.server_address[1]}", monkeypatch)
    try:
        yield aws
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
