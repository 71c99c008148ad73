"""A pretended EC2 metadata service, version 2, over real HTTP: tokens, 404 until a notice is given, and bad days."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus

from tests.servers.loopback import Answer, LoopbackServer, Request

_DATA = "/latest/meta-data/"


class InstanceMetadata(LoopbackServer):
    """One instance's metadata. A test gives notice, or makes the service ill."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, str] = {"instance-life-cycle": "spot", "placement/region": "eu-west-1"}
        """Path below ``meta-data`` to text."""
        self.requests: list[Request] = []
        self.ill: int | None = None
        """The status of all answers, while it is ill."""
        self.pause = threading.Event()
        """Set: answers come at once."""
        self.pause.set()
        self.clock_error_s = 0.0
        """How much the machine's clock is behind the service's."""
        self.tokens = 0
        self._token = ""

    def forget_token(self) -> None:
        """Let the token run out."""
        self._token = ""

    def give_notice(self, action: str = "terminate", left_s: float = 120.0) -> None:
        """Announce a spot interruption."""
        at = self._now() + timedelta(seconds=left_s)
        self.data["spot/instance-action"] = json.dumps({"action": action, "time": _text(at)})

    def recommend_rebalance(self) -> None:
        """Announce a raised risk."""
        self.data["events/recommendations/rebalance"] = json.dumps({"noticeTime": _text(self._now())})

    def asked(self, path: str) -> int:
        """Return how often a path below ``meta-data`` was asked for."""
        return sum(request.path == _DATA + path for request in self.requests)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        self.pause.wait(20.0)
        if self.ill is not None:
            return self._plain(self.ill)
        names = {name.lower(): value for name, value in request.headers.items()}
        if request.method == "PUT" and request.path == "/latest/api/token":
            return self._new_token(names.get("x-aws-ec2-metadata-token-ttl-seconds", ""))
        if request.method != "GET" or "x-forwarded-for" in names:
            return self._plain(HTTPStatus.FORBIDDEN)
        if not self._token or names.get("x-aws-ec2-metadata-token") != self._token:
            return self._plain(HTTPStatus.UNAUTHORIZED)
        text = self.data.get(request.path.removeprefix(_DATA)) if request.path.startswith(_DATA) else None
        return self._plain(HTTPStatus.NOT_FOUND) if text is None else self._plain(HTTPStatus.OK, text)

    def _new_token(self, ttl: str) -> Answer:
        if not ttl.isdecimal() or not 1 <= int(ttl) <= 21_600:
            return self._plain(HTTPStatus.BAD_REQUEST)
        self.tokens += 1
        self._token = f"AQAEAL{self.tokens:08}=="
        answer = self._plain(HTTPStatus.OK, self._token)
        answer.headers["X-aws-ec2-metadata-token-ttl-seconds"] = ttl
        return answer

    def _plain(self, status: int, text: str = "") -> Answer:
        return Answer(
            status,
            {"Content-Type": "text/plain", "Date": format_datetime(self._now(), usegmt=True)},
            text.encode(),
        )

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.clock_error_s)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
