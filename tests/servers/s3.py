"""Real S3 servers for the tests, from pinned packages, on free ports of the loopback interface.

Each pytest process (each worker of pytest-xdist too) starts its own at first use and ends them at its end::

    def test_it(s3_url):                      # a fresh bucket; this process's environment leads to it
        store = open_store(s3_url)
        subprocess.run([...], env=os.environ) # and so does a child's

    def test_other(s3_server):                # without touching this process's environment
        url, env = s3_server.new_url(), {**os.environ, **s3_server.environment()}
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_S = 60
STARTS = 3
"""Another process may take the free port before the server does."""


@dataclass(frozen=True)
class S3Server:
    name: str
    endpoint: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Return the variables that lead a process to this server, or to a proxy in front of it."""
        return s3_environment(endpoint or self.endpoint)

    def new_bucket(self) -> str:
        """Make a bucket, and return its name."""
        name = f"test-{secrets.token_hex(6)}"
        _http("PUT", f"{self.endpoint}/{name}")
        return name

    def new_url(self) -> str:
        """Make a bucket, and return the URL of a study in it."""
        return f"s3://{self.new_bucket()}/studies/first"


def s3_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """MiniStack: one event loop, so that a conditional create is atomic by construction."""
    yield from _running("MiniStack", ministack)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto behind one lock: errors in the form of AWS's."""
    yield from _running("moto", _moto)


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A study URL in a fresh bucket of MiniStack; this process's environment leads to it."""
    return use_s3(s3_server, monkeypatch)


def use_s3(server: S3Server, monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None) -> str:
    """Lead this process to `server` (or to a proxy at `endpoint`), and return a study URL in a fresh bucket."""
    lead_to(endpoint or server.endpoint, monkeypatch)
    return server.new_url()


def lead_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead this process to the S3 server at `endpoint`."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in s3_environment(endpoint).items():
        monkeypatch.setenv(name, value)


def ministack(port: int) -> tuple[list[str], dict[str, str]]:
    """Return MiniStack's command and its settings."""
    command = [sys.executable, "-c", "import sys; from ministack.app import main; sys.exit(main())"]
    return command, {"SERVICES": "s3", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}


def _moto(port: int) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "tests.servers.moto_locked", str(port)], {}


def _running(name: str, start: Callable[[int], tuple[list[str], dict[str, str]]]) -> Iterator[S3Server]:
    with tempfile.TemporaryDirectory(prefix="s3-server-") as folder:
        for attempt in range(STARTS):
            port = free_port()
            command, settings = start(port)
            log = Path(folder) / f"{attempt}.log"
            server = start_server(command, {**os.environ, **settings}, log)
            endpoint = f"http://127.0.0.1:{port}"
            try:
                wait_until(
                    lambda server=server, endpoint=endpoint: server.poll() is not None or answers(endpoint),
                    START_S,
                    f"{name} to answer",
                )
                if server.poll() is None:
                    yield S3Server(name, endpoint)
                    return
            finally:
                server.kill()
                server.wait()
        pytest.fail(f"{name} did not start:\n{log.read_text()[-2000:]}")


def start_server(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server that ends with this process."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_die_with_the_tests if sys.platform == "linux" else None,
        )


def _die_with_the_tests() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: also when the tests are killed


def answers(endpoint: str) -> bool:
    """Tell whether a server answers there."""
    try:
        _http("GET", endpoint + "/")
    except OSError:
        return False
    return True


def _http(method: str, url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    signed_like = (
        "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    request = urllib.request.Request(url, method=method, headers={"Authorization": signed_like})
    with opener.open(request, timeout=10) as answer:
        answer.read()


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
